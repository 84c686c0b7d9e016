"""The drawings of the book: what their SVG says, in every theme, and how a browser
shows it."""

import re
import shutil
from xml.etree import ElementTree

import pytest

from prompttune_utils import drawings
from prompttune_utils.drawings import sheet
from tests.colours import contrast

SCORES = {
    "scores": {"bad": -3.4, "great": -2.9},
    "prior": {"bad": -4.9, "great": -3.1},
}
NAMES = [name for name in drawings.__all__ if name != "Drawing"]
LOOKS = ["light", "dark", "darkened"]


def drawn(name: str, **options) -> drawings.Drawing:
    arguments = SCORES if name == "taking_the_prior_out" else {}
    return getattr(drawings, name)(**arguments, **options)


@pytest.fixture(scope="module")
def darkened(book_pages):
    """What the book makes of a drawing for its dark theme."""
    return book_pages.darkened


@pytest.fixture
def look(request, darkened):
    """Gives a drawing's SVG in the look that the test is run for."""

    def svg(drawing: drawings.Drawing) -> str:
        if request.param == "darkened":
            return darkened(drawing.svg("light"))
        return drawing.svg(request.param)

    return svg


every = pytest.mark.parametrize("name", NAMES)
in_every_look = pytest.mark.parametrize("look", LOOKS, indirect=True)


# ---- what is read from an SVG


def parts(svg: str) -> list[tuple[str, ElementTree.Element]]:
    """The elements in the order of drawing, with the names of their tags."""
    root = ElementTree.fromstring(svg)
    return [(shape.tag.split("}")[1], shape) for shape in root.iter()]


def number(shape: ElementTree.Element, name: str) -> float:
    return float(shape.get(name, 0))


def lines(svg: str) -> list[tuple[str, float, float, float, float, str]]:
    """Each line of text: its words, left, top, right, bottom and colour."""
    found = []
    for tag, shape in parts(svg):
        if tag != "text":
            continue
        size, anchor = number(shape, "font-size"), shape.get("text-anchor")
        for part in list(shape) or [shape]:
            width = sheet.text_width(part.text, size, bool(shape.get("font-weight")))
            share = {"start": 0, "middle": 0.5, "end": 1}[anchor]
            left, y = number(part, "x") - share * width, number(part, "y")
            box = (left, y - 0.75 * size, left + width, y + 0.22 * size)
            found.append((part.text, *box, shape.get("fill")))
    return found


def boxes(svg: str) -> list[tuple[float, float, float, float, str]]:
    """Each box: left, top, right, bottom and fill; the ground of the sheet is the
    first."""
    found = []
    for tag, shape in parts(svg):
        if tag == "rect":
            x, y = number(shape, "x"), number(shape, "y")
            corner = (x + number(shape, "width"), y + number(shape, "height"))
            found.append((x, y, *corner, shape.get("fill")))
    return found


def problems(svg: str) -> list[str]:
    """What is wrong with the texts of an SVG, one sentence each."""
    found, grounds, texts = [], boxes(svg), lines(svg)
    right, bottom = grounds[0][2:4]
    for text, x1, y1, x2, y2, colour in texts:
        if x1 < 0 or y1 < 0 or x2 > right or y2 > bottom:
            found.append(f"{text!r} leaves the sheet.")
        middle, height = (x1 + x2) / 2, (y1 + y2) / 2
        ground = grounds[0]
        for box in grounds:
            if box[0] <= middle <= box[2] and box[1] <= height <= box[3]:
                ground = box  # the last one drawn there is on top
        if x1 < ground[0] or x2 > ground[2] or y1 < ground[1] or y2 > ground[3]:
            found.append(f"{text!r} overflows its box.")
        if contrast(colour, ground[4]) < 4.5:
            found.append(f"{text!r} cannot be read: {colour} on {ground[4]}.")
    for index, (text, x1, y1, x2, y2, _) in enumerate(texts):
        for other, left, top, end, low, _ in texts[:index]:
            if x1 < end and left < x2 and y1 < low and top < y2:
                found.append(f"{text!r} and {other!r} stand on each other.")
    return found


# ---- every drawing


@every
@in_every_look
def test_texts_can_be_read(name, look):
    assert problems(look(drawn(name))) == []


@every
@in_every_look
def test_kinds_keep_their_meaning(name, look):
    """Frozen is grey, trained orange, output green, written blue, in every look."""
    svg = look(drawn(name))
    light = drawn(name).svg("light")
    kinds = {sheet.THEMES["light"][kind]: kind for kind in sheet.KINDS}
    for tag, (old, new) in enumerate(zip(boxes(light), boxes(svg))):
        if old[4] in kinds:
            assert hue(new[4]) == kinds[old[4]], (tag, new)


def hue(colour: str) -> str:
    """The kind whose colour this is."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    strength = (max(red, green, blue) - min(red, green, blue)) / 255
    if strength < 0.08:
        return "frozen"
    if red > green > blue:
        return "trained"
    return "output" if green > blue else "written"


@every
def test_it_says_what_it_shows(name):
    drawing = drawn(name)
    root = ElementTree.fromstring(drawing.svg())
    title = root.find("{http://www.w3.org/2000/svg}title").text
    assert len(title) > 60 and title.endswith(".")
    assert title == root.get("aria-label") == drawing.title
    assert root.get("role") == "img" and drawing._repr_svg_() == drawing.svg("light")


def test_no_ids_clash_on_a_page():
    """All drawings on one page, twice: no id is there more than once."""
    page = [drawn(name).svg(theme) for name in NAMES for theme in ("light", "dark")]
    ids = [shape.get("id") for svg in page for _, shape in parts(svg)]
    ids = [one for one in ids if one]
    assert sorted(ids) == sorted(set(ids))
    used = re.findall(r"url\(#|href=", "".join(page))
    assert not used or ids


@every
def test_it_is_always_the_same(name):
    assert drawn(name).svg() == drawn(name).svg()


@every
def test_every_text_can_be_translated(name):
    texts = drawn(name).texts()
    other = {text: "語" * max(1, len(text) // 4) for text in texts}
    drawing = drawn(name, words=other)
    shown = {text for text, *_ in lines(drawing.svg())} | {drawing.title}
    letters = {letter for text in shown for letter in text if letter.isalnum()}
    assert letters == {"語"} and drawing.texts() == texts


@every
def test_letters_are_large_enough_for_a_phone(name):
    """The column of a page is 358 of a phone's 390 pixels wide."""
    sizes = [
        number(s, "font-size") for tag, s in parts(drawn(name).svg()) if tag == "text"
    ]
    assert min(sizes) * 358 / sheet.WIDTH >= 9


# ---- what is refused


def test_a_text_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="'x+' does not fit into 1 line"):
        drawings.fine_tuning(words={"encoder block 1": "x" * 40})
    with pytest.raises(ValueError, match="'語+' does not fit into 1 line"):
        drawings.fine_tuning(words={"encoder block 1": "語" * 15})
    with pytest.raises(ValueError, match="The tokens .* need .* units and have"):
        drawings.fine_tuning(words={"soup": "x" * 20})


def test_words_for_what_is_not_said_are_refused():
    with pytest.raises(ValueError, match="does not say 'frozn'"):
        drawings.four_paradigms(words={"frozn": "冻结"})


def test_an_unknown_theme_is_refused():
    with pytest.raises(ValueError, match="no theme 'sepia'.*take 'light' or 'dark'"):
        drawings.fine_tuning().svg("sepia")


@pytest.mark.parametrize(
    "scores, prior, message",
    [
        ({"a": 1, "b": 2}, {"a": 1}, "'b' is in only one"),
        ({"a": 1}, {"a": 1}, "There are 1 words"),
        ({"a": 1, "b": float("nan")}, {"a": 1, "b": 2}, "'b' is not a finite"),
    ],
)
def test_scores_that_cannot_be_drawn_are_refused(scores, prior, message):
    with pytest.raises(ValueError, match=message):
        drawings.taking_the_prior_out(scores, prior)


@pytest.mark.parametrize(
    "tokens, attention, message",
    [
        (["a", "b", "a"], [0.5, 0.5], "2 weights for 3 tokens: give as many"),
        (["a", "b"], [0.5, 0.5], "from 3 to 9"),
        (["a", "b", "a"], [0.5, 1.5, 0], "are not all shares from 0 to 1"),
        (["a", "b", "a"], [0.5, float("nan"), 0], "are not all shares from 0 to 1"),
    ],
)
def test_attention_that_cannot_be_drawn_is_refused(tokens, attention, message):
    with pytest.raises(ValueError, match=message):
        drawings.induction_head(tokens, attention, "b")


# ---- the prior


@pytest.mark.parametrize("move", [0.0, 5.0, 60.0])
def test_bars_are_as_long_as_the_numbers(move):
    """In one scale: a bar of the third group is the first group's less the second's,
    wherever the bars begin."""
    scores = {word: value + move for word, value in SCORES["scores"].items()}
    prior = {word: value + move for word, value in SCORES["prior"].items()}
    svg = drawings.taking_the_prior_out(scores, prior).svg()
    bars = [x2 - x1 for x1, y1, x2, y2, _ in boxes(svg) if round(y2 - y1) == 28]
    assert len(bars) == 6
    for first, second, third in zip(bars[:2], bars[2:4], bars[4:]):
        assert third == pytest.approx(max(2, first - second), abs=0.05)


def test_the_answers_are_those_of_the_numbers():
    svg = drawings.taking_the_prior_out(**SCORES).svg()
    texts = [text for text, *_ in lines(svg)]
    assert texts.count("great") == 4 and texts.count("bad") == 4
    assert "−3.40" in texts and "1.50" in texts and "0.20" in texts
    same = drawings.taking_the_prior_out(
        {"bad": 0.9, "great": 0.1}, {"bad": 0.5, "great": 0.5}
    )
    assert "The same word" in same.title and "−0.40" in same.svg()


# ---- the guards see damage


def broken(**changes) -> drawings.Drawing:
    """A small drawing, sound but for what is changed."""
    it = {"x": 100, "text": "soup", "colour": "ink"} | changes
    drawing = drawings.Drawing("A box with a word.")
    drawing.box(40, 40, 120, 40, "trained")
    drawing.text(200, 60, "other", anchor="start")
    style = {"font_size": 17, "text_anchor": "middle", "fill": it["colour"]}
    drawing.shape("text", 80, it["text"], x=it["x"], y=66, **style)  # unmeasured
    return drawing


@pytest.mark.parametrize(
    "changes, seen",
    [
        ({}, None),
        ({"x": 10}, "leaves the sheet"),
        ({"text": "soup and waiter"}, "overflows its box"),
        ({"colour": "trained"}, "cannot be read"),
        ({"x": 210}, "stand on each other"),
    ],
)
@in_every_look
def test_the_check_of_texts_sees_damage(changes, seen, look):
    found = problems(look(broken(**changes)))
    assert (found == []) if seen is None else any(seen in one for one in found)


def test_darkened_keeps_strong_colours_and_turns_pale_ones(darkened):
    def turned(colour):
        return re.search(
            r"<p fill='(#\w{6})'", darkened(f"<svg><p fill='{colour}'/></svg>")
        )[1]

    assert hue(turned("#d55e00")) == "trained"
    assert contrast(turned("#d55e00"), turned("#ffffff")) > 4.5
    assert contrast(turned("#ffedd8"), "#000000") < 2  # a pale ground becomes dark
    assert hue(turned("#ffedd8")) == "trained"


# ---- in a browser


@pytest.fixture(scope="module")
def browser():
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("No browser: install one that brings the command `chromium`.")
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--no-first-run"]
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


# texts that leave the sheet, or the last box that was drawn around their middle
OUTSIDE = """() => {
    const svg = document.querySelector('svg');
    const sheet = svg.viewBox.baseVal;
    const found = [];
    for (const text of svg.querySelectorAll('text')) {
        const t = text.getBBox(), x = t.x + t.width / 2, y = t.y + t.height / 2;
        let box = {x: 0, y: 0, width: sheet.width, height: sheet.height};
        for (const rect of svg.querySelectorAll('rect')) {
            const b = rect.getBBox();
            if (b.x <= x && x <= b.x + b.width && b.y <= y && y <= b.y + b.height)
                box = b;
        }
        if (t.x < box.x || t.y < box.y - 2 || t.x + t.width > box.x + box.width
            || t.y + t.height > box.y + box.height + 2)
            found.push(text.textContent);
    }
    return found;
}"""


@every
def test_texts_fit_in_a_browser(browser, name):
    page = browser.new_page(viewport={"width": 700, "height": 900})
    page.set_content(drawn(name).svg())
    assert page.evaluate(OUTSIDE) == []
    page.close()


def test_the_browser_sees_damage(browser):
    page = browser.new_page(viewport={"width": 700, "height": 900})
    page.set_content(broken(text="soup and waiter and more").svg())
    assert page.evaluate(OUTSIDE) == ["soup and waiter and more"]
    page.close()


@pytest.mark.parametrize(
    "values, message",
    [
        ([[0.5, 0.6]], "give one number for each place"),
        ([[0.5], [0.6, 0.7]], "give one number for each place"),
        ([[0.5, 1.2], [0.6, 0.7]], "no share from 0 to 1"),
    ],
)
def test_a_grid_that_has_no_number_for_a_place_is_refused(values, message):
    with pytest.raises(ValueError, match=message):
        drawings.filled_grid({"a task": values}, ["one", "two"], ["left", "right"])


def test_the_bars_of_a_grid_run_from_the_lowest_to_the_highest_of_each_task():
    results = {"low": [[0.1, 0.2, 0.3]], "high": [[0.7, 0.9, 0.8]], "same": [[0.5] * 3]}
    drawn = drawings.filled_grid(results, ["row"], ["a", "b", "c"])
    bars = [
        number(shape, "width")
        for tag, shape in parts(drawn.svg())
        if tag == "rect" and number(shape, "height") == 6
    ]
    low, high, same = bars[:3], bars[3:6], bars[6:]
    assert low == sorted(low) and low[0] == high[0] == 4 and low[2] == high[1]
    assert high[0] < high[2] < high[1] and same == [4, 4, 4]
