"""The built site: what its files say, and how its pages behave in a real browser. `make
test` builds it first."""

import contextlib
import functools
import http.server
import importlib.util
import json
import re
import shutil
import threading
import warnings
from pathlib import Path
from urllib.parse import quote_plus

import axe_playwright_python
import pytest
from bs4 import BeautifulSoup

from prompttune_utils import drawings, plots
from prompttune_utils.claims import ledger
from tests.colours import contrast
from tools.notebooks import BUDGETS, ROOT, build_book, chapters

WIDTH = 390  # pixels, a phone held upright
SCHEMES = ["light", "dark"]
AXE_CORE = next(
    Path(axe_playwright_python.__file__).parent.glob("axe.min.js")
).read_text(encoding="utf-8")
FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run"
    " --disable-background-networking --disable-component-update --disable-sync"
)
FOREIGN = re.compile(r"\s*(https?:)?//", re.I)
LINKS = {
    "stylesheet",
    "icon",
    "shortcut",
    "preload",
    "modulepreload",
    "prefetch",
    "preconnect",
    "manifest",
}  # rel of links that load something


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The folder of the built site, from the last `make book`, or built here when there
    is none."""
    if (ROOT / "_build" / "html" / "index.html").exists():
        return ROOT / "_build" / "html"
    folder = tmp_path_factory.mktemp("book")
    done = build_book(ROOT, folder)
    assert done.returncode == 0, (
        f"The book does not build, mend what is named here:\n{done.stderr[-3000:]}"
    )
    return folder / "_build" / "html"


def pages(site: Path) -> list[Path]:
    """All pages but the first, which only leads to the welcome page."""
    return sorted(
        p
        for p in site.rglob("*.html")
        if "_static" not in p.relative_to(site).parts and p != site / "index.html"
    )


def parsed(page: Path) -> BeautifulSoup:
    return BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")


# ---- what the files say


def page_problems(html: BeautifulSoup) -> list[str]:
    """What a page would load from another host, images without alternative text, and
    doubled ids."""
    loaded = [
        (tag.name, tag[key])
        for key in ("src", "srcset", "data", "poster")
        for tag in html.find_all(attrs={key: True})
    ]
    loaded += [
        (tag.name, tag["href"])
        for tag in html.find_all("link", href=True)
        if LINKS & set(tag.get("rel", []))
    ]
    loaded += [
        (tag.name, url)
        for tag in html.find_all(style=True)
        for url in re.findall(r"url\(['\"]?([^)'\"]+)", tag["style"])
    ]
    problems = [
        f"<{name}> loads {url}: keep a copy under book/_static."
        for name, url in loaded
        if FOREIGN.match(url)
    ]
    for script in html.find_all("script", src=False):
        if script.get("type") != "application/json" and (
            found := re.search(r"""["'](https?://[^"']+\.m?js)["']""", script.text)
        ):
            problems.append(
                f"A script may load {found[1]}: switch it off in _config.yml."
            )
    problems += [
        f"Image {img.get('src', '')[:60]} has no alternative text."
        for img in html.find_all("img")
        if not img.get("alt", "").strip()
    ]
    return problems


def css_problems(css: str) -> list[str]:
    """What a style sheet loads from another host."""
    found = re.findall(r"url\(\s*['\"]?([^)'\"]+)", css) + re.findall(
        r"@import\s+['\"]([^'\"]+)", css
    )
    return [
        f"The style sheet loads {url[:80]}: keep a copy under book/_static."
        for url in found
        if FOREIGN.match(url)
    ]


def test_pages_load_nothing_foreign_and_describe_images(site):
    assert len(pages(site)) > len(chapters())
    assert [
        f"{page.relative_to(site)}: {it}"
        for page in pages(site)
        for it in page_problems(parsed(page))
    ] == []


def test_the_first_page_has_an_icon(site):
    """Browsers ask for this one when a page names none; a missing one is an error in
    their console."""
    assert (site / "favicon.ico").read_bytes().startswith(b"<svg")


def test_style_sheets_load_nothing_foreign(site):
    sheets = sorted(site.rglob("*.css"))
    assert sheets
    assert [
        f"{sheet.relative_to(site)}: {it}"
        for sheet in sheets
        for it in css_problems(sheet.read_text(encoding="utf-8"))
    ] == []


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example.org/x.js"></script>',
        '<script>const URL = "https://cdn.example.org/x.js"</script>',
        '<link rel="stylesheet" href="//cdn.example.org/x.css">',
        '<link rel="preload" as="font" href="https://cdn.example.org/x.woff2">',
        '<img alt="A plot" src="https://cdn.example.org/x.png">',
        '<p style="background: url(https://cdn.example.org/x.png)"></p>',
        '<img src="x.png">',
        '<img src="x.png" alt=" ">',
    ],
)
def test_page_check_sees_damage(html):
    sound = (
        '<a href="https://example.org">a link</a><link rel="canonical"'
        ' href="https://example.org"><img src="x.png" alt="A plot">'
    )
    assert page_problems(BeautifulSoup(sound, "html.parser")) == []
    assert len(page_problems(BeautifulSoup(sound + html, "html.parser"))) == 1


def test_css_check_sees_damage():
    assert (
        css_problems(
            "a { background: url(data:image/png;base64,AA) } b { background:"
            " url('x.png') }"
        )
        == []
    )
    assert (
        len(
            css_problems(
                "@import 'https://example.org/x.css'; a { src:"
                " url(//example.org/x.woff2) }"
            )
        )
        == 2
    )


@pytest.mark.parametrize("notebook", chapters(), ids=lambda n: n.stem)
def test_chapter_offers_its_notebook(site, notebook):
    page = site / "notebooks" / f"{notebook.stem}.html"
    links = [
        a["href"]
        for a in parsed(page).find_all("a", href=re.compile(r"\.ipynb$"))
        if not FOREIGN.match(a["href"])
    ]
    assert links, f"{page.name} has no button that downloads the notebook."
    assert all(
        json.loads((page.parent / link).read_text(encoding="utf-8"))
        == json.loads(notebook.read_text(encoding="utf-8"))
        for link in links
    )


def test_welcome_links_every_chapter(site):
    links = {
        a["href"].split("#")[0]
        for a in parsed(site / "book" / "index.html").select("article a[href]")
    }
    assert [
        n.stem for n in chapters() if f"../notebooks/{n.stem}.html" not in links
    ] == []


def test_status_shows_the_pinned_versions(site):
    shown = {
        row.find_all("td")[0].text: row.find_all("td")[1].text
        for row in parsed(site / "book" / "status.html").select("article tr")
        if row.td
    }
    pinned = dict(
        re.findall(
            r"^(\S+)==(\S+)",
            (ROOT / "constraints.txt").read_text(encoding="utf-8"),
            re.M,
        )
    )
    assert (
        shown["torch"] == pinned["torch"]
        and shown["jupyter-book"] == pinned["jupyter-book"]
    )
    assert "-" not in {version for name, version in shown.items() if name in pinned}


def test_ledger_has_every_claim_and_every_answer(site):
    page = (ROOT / "book" / "claims.md").read_text(encoding="utf-8")
    claims = re.findall(r"^C(\d\d)\. ", page, re.M)
    answered = re.findall(r"^C(\d\d)\. .*\n: % answer C\1 \w+$", page, re.M)
    assert claims == answered == [f"{i + 1:02}" for i in range(len(claims))]
    shown = plain(parsed(site / "book" / "claims.html").select_one("article"))
    assert "% answer" not in shown
    for number, claim in ledger().items():
        assert f"{number}. {claim['says']}" in shown
        parts = [f"{name}: {part['says']}" for name, part in claim["parts"].items()]
        assert [part for part in parts if part not in shown] == [], number


def plain(node) -> str:
    """The text of a page with the quotation marks of its source."""
    text = " ".join(node.get_text().split())
    return re.sub("[‘’]", "'", re.sub("[“”]", '"', text))


def test_ledger_leads_to_the_cell_that_shows_a_claim(site):
    page = parsed(site / "book" / "claims.html")
    links = [a["href"] for a in page.select("article a[href*='#claim-c']")]
    tested = [n for n, claim in ledger().items() if "not_testable" not in claim]
    assert sorted(link[-3:] for link in links) == sorted(map(str.lower, tested))
    for link in links:
        file, _, place = link.partition("#")
        chapter = parsed(site / "book" / file)
        number = f'"{place.removeprefix("claim-").upper()}"'
        assert number in chapter.select_one(f"#{place}").get_text()


def test_figures_can_be_read_in_the_dark(book_pages):
    """Text and lines of the course's style, on its own ground made dark."""
    ink, ground = plots.plt.rcParams["text.color"], "#ffffff"
    drawn = [f"#{c}" for c in (ink, *plots.COLOURS)]
    drawn = [colour.replace("##", "#") for colour in drawn]
    svg = "<svg>" + "".join(f"<p fill='{c}'/>" for c in [ground, *drawn]) + "</svg>"
    dark = re.findall(r"<p fill='(#\w{6})'", book_pages.darkened(svg))
    assert all(contrast(colour, dark[0]) > 4.5 for colour in dark[1:])
    assert contrast(dark[1], dark[0]) > 7 and contrast(dark[0], "#000000") < 1.5


def test_every_drawing_comes_for_both_themes(site):
    pairs = 0
    for page in pages(site):
        drawn = parsed(page).select("article img[src$='.svg']")
        kinds = [set(i.get("class", [])) & {"only-light", "only-dark"} for i in drawn]
        assert kinds == [{"only-light"}, {"only-dark"}] * (len(drawn) // 2), page
        pairs += len(drawn) // 2
    assert pairs > 1


def test_export_marks_are_not_shown(site):
    for notebook in chapters():
        page = parsed(site / "notebooks" / f"{notebook.stem}.html")
        assert "#|" not in page.select_one("article").get_text(), notebook.stem


def test_every_table_has_its_place(book_pages):
    for page, tables in book_pages.TABLES.items():
        lines = (ROOT / f"{page}.md").read_text(encoding="utf-8").splitlines()
        assert {line for line in lines if line.startswith("% ")} == {
            f"% {table.__name__}" for table in tables
        }, page


def test_status_names_the_budgets():
    page = (ROOT / "book" / "status.md").read_text(encoding="utf-8")
    assert [
        limit for limit in BUDGETS.values() if not re.search(rf"\b{limit}\b", page)
    ] == []


def test_timeline_is_what_its_code_draws(tmp_path):
    source = ROOT / "book" / "figures" / "timeline.py"
    spec = importlib.util.spec_from_file_location("timeline", source)
    timeline = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(timeline)
    timeline.draw(tmp_path / "timeline.svg")
    # the labels, which matplotlib writes beside their outlines; the outlines depend on
    # its version
    drawn, stored = (
        re.findall("<!-- (.*?) -->", f.read_text(encoding="utf-8"))
        for f in (tmp_path / "timeline.svg", source.with_suffix(".svg"))
    )
    assert drawn == stored, "Draw it again: python book/figures/timeline.py"
    table = (ROOT / "book" / "timeline.md").read_text(encoding="utf-8")
    assert [
        name
        for year, name, _, _ in timeline.WORKS
        if f"| {year} | {name} |" not in table
    ] == []


def test_the_first_drawing_is_what_its_code_draws():
    stored = ROOT / "book" / "figures" / "prompt_tuning.svg"
    drawn = drawings.prompt_tuning().svg()
    assert stored.read_text(encoding="utf-8") == drawn + "\n", "Write the SVG again."


# ---- how the pages behave


@pytest.fixture(scope="session")
def address(site):
    """The site, served on a free port of this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=site)
    ) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="session")
def browser():
    path = next(
        filter(
            None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))
        ),
        None,
    )
    if path is None:
        missing = (
            "No browser: install a package that brings the command `chromium`. The site"
            " was NOT tried in a browser."
        )
        warnings.warn(missing, stacklevel=1)
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS.split())
        yield browser
        browser.close()


@contextlib.contextmanager
def tab(browser, address, scheme="light"):
    """A page of phone width, and the list that its errors and its requests to other
    hosts go into."""
    context = browser.new_context(
        viewport={"width": WIDTH, "height": 844}, color_scheme=scheme
    )
    page, problems = context.new_page(), []
    page.on(
        "console",
        lambda message: (
            problems.append(f"console: {message.text}")
            if message.type == "error"
            else None
        ),
    )
    page.on("pageerror", lambda error: problems.append(f"error: {error}"))
    page.on(
        "request",
        lambda request: (
            problems.append(f"asks for {request.url}")
            if not request.url.startswith((address, "data:", "blob:"))
            else None
        ),
    )
    page.on(
        "response",
        lambda response: (
            problems.append(f"{response.status} for {response.url}")
            if response.status >= 400
            else None
        ),
    )
    yield page, problems
    context.close()


# what sticks out on the right and can be reached only by moving the whole page
TOO_WIDE = """width => {
    const inside = e => e && e !== document.body
        && (/auto|scroll|hidden|clip/.test(getComputedStyle(e).overflowX)
            || inside(e.parentElement));
    const parts = ".bd-article *, .bd-header-article *, .prev-next-area *, footer *";
    const right = e => Math.round(e.getBoundingClientRect().right);
    const out = [...document.querySelectorAll(parts)]
        .filter(e => right(e) > width + 1 && !inside(e.parentElement))
        .map(e => `${e.tagName} ${e.className.baseVal ?? e.className} to ${right(e)}`);
    const whole = document.documentElement.scrollWidth;
    if (whole > width) out.unshift(`the page, to ${whole}`);
    return out.slice(0, 5);
}"""
# boxes whose content is wider than they are: code, printed text, equations, tables
CLIPPED = """() => {
    document.querySelectorAll("details").forEach(fold => fold.open = true);
    const boxes = "pre, div.math, mjx-container[display], .cell_output .output";
    return [...document.querySelectorAll(".bd-article :is(" + boxes + ")")]
        .filter(e => e.scrollWidth > e.clientWidth + 1)
        .map(e => `${e.scrollWidth} in ${e.clientWidth} pixels: `
            + `${e.tagName} ${e.textContent.trim().slice(0, 40)}`);
}"""
# captions that the theme hides with the picture of the other theme
UNSEEN = """() => [...document.querySelectorAll(".bd-article figcaption")]
    .filter(e => getComputedStyle(e).display === "none")
    .map(e => `a caption that is not shown: ${e.textContent.trim().slice(0, 40)}`)"""
HIDDEN = """() => [...document.querySelectorAll(".bd-article pre")]
    .filter(e => e.getBoundingClientRect().height < 1)
    .map(e => `not on paper: ${e.textContent.trim().slice(0, 40)}`)"""
# The letters of code come in a few colours, and each word of it takes axe as long as a
# paragraph: on one page it looks at all of it, on the others at what stands around it.
AXE = """async code => {
    const rules = {"label-content-name-mismatch": {enabled: true}};
    const few = {preload: false, resultTypes: ["violations"]};
    const where = code ? document : {exclude: ["pre"]};
    const {violations} = await axe.run(where, {rules, ...few});
    return violations.flatMap(v => v.nodes.map(n => `axe ${v.id}: ${n.html}`));
}"""
IMPORTS = r"\bimport [a-z]|\bfrom \w+(\.\w+)* import"
DESK, PAPER = 1280, 718  # pixels: a laptop, and the text width of A4


def settle(page) -> None:
    """Waits for the formulas, which MathJax sets after the page has loaded."""
    page.wait_for_load_state("load")
    page.evaluate(
        "async () => { if (window.MathJax?.startup?.promise) await"
        " MathJax.startup.promise }"
    )


def page_faults(page, scheme, code: bool = True) -> list[str]:
    """What is wrong with the page that stands in the tab, on a phone and on a desk;
    `code`: axe looks at the letters of the code too."""
    faults = [f"wider than a phone: {it}" for it in page.evaluate(TOO_WIDE, WIDTH)]
    if (theme := page.evaluate("document.documentElement.dataset.theme")) != scheme:
        faults.append(f"theme {theme} in a {scheme} browser")
    formulas = page.locator(".math").count()
    if formulas and page.locator("mjx-container svg").count() < formulas:
        faults.append("formulas that were not set")
    if page.locator("mjx-merror, [data-mjx-error]").count():
        faults.append("a formula with an error")
    page.set_viewport_size({"width": DESK, "height": 900})
    page.evaluate(AXE_CORE)
    faults += page.evaluate(UNSEEN)
    return faults + page.evaluate(AXE, code) + page.evaluate(CLIPPED)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_page_on_phone_and_desk(site, address, browser, scheme):
    """On a phone only boxes scroll, on a desk nothing is cut off, axe-core finds
    nothing, and no page asks another host or reports an error."""
    found = []
    with tab(browser, address, scheme) as (page, problems):
        for path in (p.relative_to(site).as_posix() for p in pages(site)):
            problems.clear()
            page.set_viewport_size({"width": WIDTH, "height": 844})
            page.goto(f"{address}/{path}")
            settle(page)
            problems += page_faults(page, scheme, code=chapters()[0].stem in path)
            found += [f"{path}: {problem}" for problem in problems]
    assert found == []


def test_every_page_on_paper(site, address, browser):
    """Printed, nothing is cut off and what is folded is there."""
    found = []
    with tab(browser, address) as (page, _):
        page.set_viewport_size({"width": PAPER, "height": 1000})
        page.emulate_media(media="print")
        for path in (p.relative_to(site).as_posix() for p in pages(site)):
            page.goto(f"{address}/{path}")
            settle(page)
            problems = [
                p for look in (HIDDEN, UNSEEN, CLIPPED) for p in page.evaluate(look)
            ]
            found += [f"{path}: {problem}" for problem in problems]
    assert found == []


def plant(page, html: str) -> None:
    page.evaluate(
        "html => document.querySelector('.bd-article')"
        ".insertAdjacentHTML('beforeend', html)",
        html,
    )


@pytest.mark.parametrize(
    "html, named",
    [
        ('<div style="width: 500px">wide</div>', "wider than a phone"),
        ("<pre>" + "x" * 200 + "</pre>", "pixels: PRE xxx"),
        (
            "<div class='math'><span style='padding-left: 900px'>x</span></div>",
            "pixels: DIV x",
        ),
        ('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">', "image-alt"),
        ('<p style="color: #eee; background: #fff">pale</p>', "color-contrast"),
        ("<merror data-mjx-error='x'></merror>", "a formula with an error"),
        ("<figcaption style='display: none'>said</figcaption>", "not shown: said"),
    ],
)
def test_page_checks_see_damage(address, browser, html, named):
    with tab(browser, address) as (page, _):
        page.goto(f"{address}/book/index.html")
        settle(page)
        assert page_faults(page, "light") == []
        page.set_viewport_size({"width": WIDTH, "height": 844})
        plant(page, html)
        assert any(named in it for it in page_faults(page, "light"))


def test_paper_checks_see_damage(address, browser):
    with tab(browser, address) as (page, _):
        page.emulate_media(media="print")
        page.goto(f"{address}/book/index.html")
        settle(page)
        assert page.evaluate(HIDDEN) == []
        plant(page, "<div hidden><pre>lost</pre></div>")
        assert page.evaluate(HIDDEN) == ["not on paper: lost"]


def test_errors_and_requests_are_seen(address, browser):
    with tab(browser, address) as (page, problems):
        page.goto(f"{address}/index.html")
        page.wait_for_url("**/book/index.html")
        assert problems == []
        ask = "fetch('http://127.0.0.1:1/').catch(() => console.error('planted'))"
        page.evaluate(ask)
        page.wait_for_timeout(200)
        for sign in ("asks for", "planted"):
            assert any(sign in it for it in problems)


def search(page, address, words: str) -> dict[str, str]:
    """What the search page finds: address -> excerpt."""
    page.goto(f"{address}/search.html?q={quote_plus(words)}")
    page.wait_for_selector("#search-results li a")
    page.wait_for_load_state("networkidle")
    found = page.locator("#search-results > ul > li").all()
    return {
        item.locator("a").first.get_attribute("href"): " ".join(
            item.locator("p.context").all_inner_texts()
        )
        for item in found
    }


def test_search_finds_chapters_and_terms(site, address, browser):
    wanted = {"rationale": "book/glossary"}
    for name in (n.stem for n in chapters()):
        title = parsed(site / "notebooks" / f"{name}.html").find("title").text
        title = re.sub(r"[^A-Za-z ]", " ", title.split(" — ")[0])
        wanted[title] = f"notebooks/{name}"
    with tab(browser, address) as (page, problems):
        for words, target in wanted.items():
            found = search(page, address, words)
            assert any(target in link for link in found), f"{words!r}: no {target}"
        assert problems == []


@pytest.mark.parametrize("word", ["prefix", "verbalizer", "accuracy", "torch"])
def test_excerpts_show_sentences_and_no_imports(address, browser, word):
    with tab(browser, address) as (page, _):
        excerpts = search(page, address, word)
    assert len(excerpts) > 3 and all(excerpts.values())
    assert [text for text in excerpts.values() if re.search(IMPORTS, text)] == []
