"""The rule for verdicts: its interval covers what it says, each verdict has its case,
and what was not announced is refused."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from colours import contrast

from prompttune_utils import claims
from prompttune_utils.evaluation import mean_interval
from prompttune_utils.hub import ASSETS
from prompttune_utils.results import NotRecorded

ROOT = Path(__file__).parent.parent
BOTH = ("seeds", "rows")
TOML = """
[C98]
chapter = "98_other"
says = "Nobody can tell."
not_testable = "no model is large enough"

[C99]
chapter = "99_toy"
says = "One thing is larger than another."

[C99.parts.two]
says = "a minus b"
unit = "accuracy"
smallest = 0.02
backbone = "mini-bert"
seeds = 5
rows = 40

[C99.parts.seeds]
says = "a minus b, no worse"
unit = "steps"
smallest = -1
backbone = "mini-gpt"
seeds = 5

[C99.parts.large]
says = "the same on a large model"
not_testable = "there is none"
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A ledger of two claims, which takes the place of the course's."""
    file = tmp_path / "claims.toml"
    file.write_text(TOML, encoding="utf-8")
    monkeypatch.setattr(claims.ledger, "__defaults__", (file,))
    return file


def differences(mean=0.1, seed=0):
    """(5, 40) differences around a mean, and (5,) that lie above -1."""
    generator = np.random.default_rng(seed)
    return {
        "two": generator.normal(mean, 0.1, (5, 40)),
        "seeds": generator.normal(0, 0.1, 5),
    }


# the interval


@pytest.mark.parametrize(
    "seeds, rows, of_seeds, of_rows, noise",
    [
        (5, 100, 0.05, 0.5, 0.5),
        (5, 100, 0.1, 0, 0.3),
        (5, 100, 0, 0.5, 0.3),
        (5, 100, 0, 0, 0.5),
        (3, 30, 0.1, 0.3, 0.5),
    ],
)
def test_coverage(seeds, rows, of_seeds, of_rows, noise):
    """In 90 to 99 of 100 experiments the interval holds the true mean, 0: whether seeds
    differ, or rows, or neither."""
    generator = np.random.default_rng(7)
    held = []
    for _ in range(200):
        values = of_seeds * generator.normal(size=(seeds, 1))
        values = values + of_rows * generator.normal(size=(1, rows))
        values = values + noise * generator.normal(size=(seeds, rows))
        found = claims.interval(values, BOTH)
        held.append(found["low"] <= 0 <= found["high"])
    assert 0.9 <= np.mean(held) <= 0.99


def test_coverage_of_rows_alone():
    generator = np.random.default_rng(3)
    held = []
    for _ in range(200):
        values = generator.choice([-1, 0, 1], p=[0.1, 0.7, 0.2], size=60)
        found = claims.interval(values, ["rows"])
        held.append(found["low"] <= 0.1 <= found["high"])
    assert 0.9 <= np.mean(held) <= 0.99


def test_seeds_alone_are_students():
    values = [0.1, 0.3, 0.2, 0.5]
    found = claims.interval(values, ["seeds"])
    mean, half = mean_interval(values)
    assert found["low"] == pytest.approx(mean - half)
    assert found["high"] == pytest.approx(mean + half)


def test_rows_that_agree_over_seeds_do_not_count_five_times():
    """Five copies of one seed say no more than the one."""
    row = np.random.default_rng(0).normal(size=200)
    one = claims.interval(row, ["rows"])
    five = claims.interval(np.stack([row] * 5), BOTH)
    widths = [found["high"] - found["low"] for found in (one, five)]
    assert widths[1] == pytest.approx(widths[0], rel=0.1)


def test_the_draws_are_always_the_same():
    values = differences()["two"]
    np.random.seed(0)
    first = claims.interval(values, BOTH)
    np.random.seed(1)
    assert claims.interval(values, BOTH) == first
    same = claims.interval(np.full((5, 40), 0.25), BOTH)
    assert (same["low"], same["mean"], same["high"], same["error"]) == (
        *[0.25] * 3,
        0,
    )


# the verdict


@pytest.mark.parametrize(
    "low, high, smallest, word",
    [
        (0.03, 0.05, 0.02, "reproduced"),
        (0.01, 0.05, 0.02, "undecided"),
        (-0.01, 0.05, 0, "undecided"),
        (0.001, 0.015, 0.02, "contradicted"),  # there, and too small to matter
        (-0.05, -0.03, 0.02, "contradicted"),
        (-0.01, 0.01, -0.02, "reproduced"),  # no worse
        (-0.05, -0.03, -0.02, "contradicted"),
        (0.02, 0.02, 0.02, "undecided"),
    ],
)
def test_each_verdict(low, high, smallest, word):
    assert claims.verdict(low, high, smallest) == word


def test_the_verdict_turns_with_the_sign(file, tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTTUNE_RECORD", "1")
    given = differences(0.1)
    for sign, word in ((1, "reproduced"), (-1, "contradicted")):
        shown = claims.judge("C99", given | {"two": sign * given["two"]}, tmp_path)
        assert shown.frame["verdict"][0] == word


@pytest.mark.parametrize(
    "verdicts, word",
    [
        (["reproduced"] * 2, "reproduced"),
        (["contradicted"] * 2, "contradicted"),
        (["reproduced", "contradicted"], "in part"),
        (["reproduced", "undecided"], "in part"),
        (["contradicted", "undecided"], "undecided"),
    ],
)
def test_a_word_for_the_whole_claim(verdicts, word):
    assert claims.whole(verdicts) == claims.whole(verdicts[::-1]) == word


def test_how_many_would_decide():
    found = {"mean": 0.03, "low": 0.01, "high": 0.05}
    counts = {"seeds": 5, "rows": 200}
    # the interval has to reach 0.01 and reaches 0.02: four times as many
    assert claims.needed(found, 0.02, counts) == {"seeds": 21, "rows": 801}
    assert claims.needed(found, 0.04, counts) == {"seeds": 21, "rows": 801}
    assert claims.needed(found, 0.03, counts) is None
    # a hundred times as many would do, but nobody will draw them
    assert claims.needed(found, 0.0281, counts) is None
    assert claims.needed(found, 0.0279, counts)["seeds"] == 454
    # with so many it is decided
    half = 0.02 * (5 / 21) ** 0.5
    assert claims.verdict(0.03 - half, 0.03 + half, 0.02) == "reproduced"


def test_holm():
    # Holm's own order: smallest times 4, next times 3, ... and never below the last
    given = [0.01, 0.04, 0.03, 0.005]
    assert claims.holm(given) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert claims.holm([0.6, 0.9]) == [1, 1] and claims.holm([]) == []
    assert claims.holm([0.02]) == [0.02]
    with pytest.raises(ValueError, match="nan is no p value: give numbers from 0 to 1"):
        claims.holm([float("nan")])


def test_p_values():
    found = {"mean": 0.0, "error": 0.1}
    assert claims.p_value(found, 0.196, None) == pytest.approx(0.05, abs=1e-3)
    assert claims.p_value(found, -0.196, None) == pytest.approx(0.05, abs=1e-3)
    assert claims.p_value(found, 0.2776, 5) == pytest.approx(0.05, abs=1e-3)
    assert claims.p_value({"mean": 0.1, "error": 0}, 0.1, None) == 1
    assert claims.p_value({"mean": 0.1, "error": 0}, 0, None) == 0


# the answers


def test_an_answer_is_kept_and_compared(file, tmp_path, monkeypatch):
    with pytest.raises(
        NotRecorded, match="99_toy.claims.json holds no answer to C99: "
    ):
        claims.judge("C99", differences(), tmp_path)
    monkeypatch.setenv("PROMPTTUNE_RECORD", "1")
    shown = claims.judge("C99", differences(), tmp_path)
    monkeypatch.delenv("PROMPTTUNE_RECORD")
    assert shown.caption == "C99. One thing is larger than another."
    assert shown.frame["verdict"].tolist() == [
        "reproduced",
        "reproduced",
        "not testable here: there is none",
    ]
    kept = json.loads((tmp_path / "99_toy.claims.json").read_text(encoding="utf-8"))
    assert kept["C99"]["scale"] == "mini"
    part = kept["C99"]["parts"]["two"]
    assert (part["seeds"], part["rows"], part["backbone"]) == (5, 40, "mini-bert")
    assert part["low"] < part["mean"] < part["high"] and part["p"] < 0.05
    again = claims.judge("C99", differences(), tmp_path)
    assert again.frame.equals(shown.frame)
    with pytest.raises(
        ValueError, match="keeps another answer to C99 than .*: run `ma"
    ):
        claims.judge("C99", differences(0.11), tmp_path)
    assert [f.name for f in tmp_path.glob("99*")] == ["99_toy.claims.json"]


def test_an_undecided_part_says_what_would_decide(file, tmp_path, monkeypatch):
    monkeypatch.setenv("PROMPTTUNE_RECORD", "1")
    shown = claims.judge("C99", differences(0.03), tmp_path)
    word = shown.frame["verdict"][0]
    assert word.startswith("undecided; about ") and word.endswith(" rows would decide")


@pytest.mark.parametrize(
    "change, said",
    [
        (
            {"two": None},
            r"C99, part 'two': the differences have the shape \(\), annou",
        ),
        (
            {"two": np.zeros((40, 5))},
            r"have the shape \(40, 5\), announced are \(5, 40",
        ),
        (
            {"two": []},
            r"the shape \(0,\), announced are \(5, 40\) \(seeds, rows\): giv",
        ),
        ({"two": [[1, 2], [3]]}, r"have the shape \(0,\)"),
        ({"two": np.full((5, 40), np.nan)}, "hold NaN or infinite numbers: find out"),
        ({"seeds": [1, 2, 3, 4, np.inf]}, "part 'seeds': the differences hold NaN"),
        ({"seeds": [1, 2]}, r"the shape \(2,\), announced are \(5,\) \(seeds\)"),
        ({"more": [1]}, "C99: the part 'more' is not announced: give two, seeds."),
        ({"large": [1]}, "C99: the part 'large' is not announced: give two, seeds."),
    ],
)
def test_other_differences_than_were_announced(change, said, file, tmp_path):
    with pytest.raises(ValueError, match=said):
        claims.judge("C99", differences() | change, tmp_path)


def test_claims_that_cannot_be_judged(file, tmp_path):
    with pytest.raises(
        ValueError, match="C99: the part 'seeds' is missing: give two, "
    ):
        claims.judge("C99", {"two": differences()["two"]}, tmp_path)
    with pytest.raises(
        ValueError, match="There is no claim 'C97' in claims.toml: write"
    ):
        claims.judge("C97", {}, tmp_path)
    with pytest.raises(ValueError, match="C98 is not testable here, .*: give no diff"):
        claims.judge("C98", {}, tmp_path)


@pytest.mark.parametrize(
    "old, new, said",
    [
        ('unit = "steps"\n', "", "C99, part 'seeds' has no `unit`: write it."),
        ("smallest = -1", "smallst = -1", "has no `smallest`: write it"),
        ('unit = "steps"', 'unit = "s"\nextra = 1', "has `extra`, which nobody reads"),
        ("smallest = -1", 'smallest = "1"', "has no number as `smallest`"),
        ("seeds = 5\nrows = 40", "", r"part 'two' has \[\] seeds and rows: say from 2"),
        ("rows = 40", "rows = 1", r"has \[5, 1\] seeds and rows: say from 2 on"),
        ('not_testable = "no m', 'why = "no m', "C98 has `why`, which nobody reads"),
        ('not_testable = "no model is large enough"', "", "C98 needs either parts or"),
        ('chapter = "99_toy"\n', "", "C99 has no `chapter`: write it"),
    ],
)
def test_a_ledger_that_says_too_little(old, new, said, file):
    assert TOML.count(old) == 1
    file.write_text(TOML.replace(old, new), encoding="utf-8")
    with pytest.raises(ValueError, match=said):
        claims.ledger()


def test_the_ledger_of_the_course():
    page = (ROOT / "book" / "claims.md").read_text(encoding="utf-8")
    for number, claim in claims.ledger().items():
        assert f"\n{number}. {claim['says']}\n" in page
        assert f"% answer {number} {claim['chapter']}\n" in page
        assert (ROOT / "notebooks" / f"{claim['chapter']}.ipynb").exists()
    for line in claims.FILE.read_text(encoding="utf-8").splitlines():
        assert not line.startswith("#") or len(line) <= 88


# the page


@pytest.fixture
def book(file, tmp_path, book_pages, monkeypatch):
    """A repository with a chapter that answered by parts."""
    root = tmp_path / "book"
    results = root / book_pages.RESULTS
    results.mkdir(parents=True)
    (root / "notebooks").mkdir()
    for chapter in ("98_other", "99_toy"):
        (root / "notebooks" / f"{chapter}.ipynb").write_text("")
    (root / book_pages.CLAIMS).write_text(TOML, encoding="utf-8")
    monkeypatch.setenv("PROMPTTUNE_RECORD", "1")
    claims.judge("C99", differences(0.03), results)
    return root


def test_answers_in_the_book(book, book_pages):
    badge = book_pages.badge
    assert book_pages.answer(book, "C98", "98_other") == (
        f"{badge('not testable here')} no model is large enough. "
        "[](../notebooks/98_other.ipynb)"
    )
    head, _, *lines = book_pages.answer(book, "C99", "99_toy").splitlines()
    assert head == (
        f"{badge('in part')} 1 part reproduced, 1 undecided, 1 not testable here; "
        "{ref}`the cell that shows it <claim-c99>` in [](../notebooks/99_toy.ipynb)"
    )
    assert all(line.startswith("  ") for line in lines)  # under the claim
    fold, css, _, _, two, _, under_two, seeds, _, under_seeds, large, *end = lines
    assert (fold, css) == ("  :::{dropdown} The 3 parts", "  :class-body: claim-parts")
    assert two == f"  - {badge('undecided')} **two**: a minus b."
    assert under_two.startswith("    +0.03") and " accuracy; wanted: more" in under_two
    assert "; mini-bert, 5 seeds × 40 rows; Holm's p " in under_two
    assert under_two.endswith(" rows would decide.")
    assert seeds == f"  - {badge('reproduced')} **seeds**: a minus b, no worse."
    assert " steps; wanted: more than -1; mini-gpt, 5 seeds; Holm" in under_seeds
    assert large.startswith(f"  - {badge('not testable here')} **large**: the same on")
    assert end == ["  ", "    there is none.", "  ", "  :::"]
    found = book_pages.verdicts(book)["99_toy", "C99"].values()
    p = [part["p"] for part in found]
    assert [part["holm"] for part in found] == claims.holm(p)


def test_a_part_says_what_another_model_gave(book_pages):
    def given(backbone, verdict):
        return {"backbone": backbone, "verdict": verdict}

    found = {
        "en": given("mini-bert", "reproduced"),
        "mini-bert-s, en": given("mini-bert-s", "undecided"),
        "en, SmolLM2": given("SmolLM2-135M-Instruct", "reproduced"),
        "zh": given("mini-bert", "reproduced"),
        "mini-bert": given("mini-bert", "reproduced"),  # no more than a model's name
        "mini-gpt": given("mini-gpt", "reproduced"),
    }
    assert book_pages.repeated(found) == {
        "en": "the same on mini-bert-s undecided, on SmolLM2-135M-Instruct reproduced",
        "mini-bert-s, en": "the same on mini-bert reproduced, "
        "on SmolLM2-135M-Instruct reproduced",
        "en, SmolLM2": "the same on mini-bert reproduced, on mini-bert-s undecided",
    }


def test_totals_count_parts_and_claims(book, book_pages):
    words = ["reproduced", "contradicted", "undecided", "not testable here", "in part"]
    counts = ["1 | -", "- | -", "1 | -", "2 | 1", "- | 1"]
    assert book_pages.totals(book).splitlines() == [
        *(f"| {book_pages.badge(w)} | {n} |" for w, n in zip(words, counts)),
        "| all | 4 | 2 |",
    ]
    assert book_pages.corrected(book).startswith(
        "Of the 1 parts that are reproduced or contradicted, 1 have a Holm's p below"
    )


def test_a_badge_is_more_than_its_colour(book_pages):
    badges = [book_pages.badge(word) for word in (*claims.VERDICTS, "in part")]
    signs = [re.search(r'<span aria-hidden="true">(.)</span>', b)[1] for b in badges]
    assert len(set(signs)) == len(badges) and "not testable here</span>" in badges[3]
    css = (ROOT / "book" / "_static" / "custom.css").read_text(encoding="utf-8")
    rule = r"(dark.*)?\.verdict\.([\w-]+) { color: (#\w{6}); }"
    colours = re.findall(rule, css)
    assert len(colours) == 2 * len(badges)
    for dark, kind, colour in colours:
        assert contrast(colour, "#1f262e" if dark else "#f3f4f5") > 4.5, (dark, kind)


def test_answers_to_other_parts_than_were_written_down(book, book_pages):
    changed = TOML.replace("parts.seeds", "parts.steps")
    (book / book_pages.CLAIMS).write_text(changed, encoding="utf-8")
    with pytest.raises(
        ValueError, match="99_toy.claims.json answers other parts of C9"
    ):
        book_pages.answer(book, "C99", "99_toy")


def test_claims_without_an_answer(book, book_pages):
    for number, chapter in (("C97", "99_toy"), ("C99", "98_other")):
        with pytest.raises(
            ValueError, match=f"claims.toml has no {number} of {chapter}"
        ):
            book_pages.answer(book, number, chapter)
    (book / book_pages.RESULTS / "99_toy.claims.json").unlink()
    with pytest.raises(ValueError, match="99_toy gives no answer to C99: call claims"):
        book_pages.answer(book, "C99", "99_toy")
    with pytest.raises(ValueError, match="99_toy gives no answer to C99: call claims"):
        book_pages.totals(book)


def test_the_file_is_packaged():
    assert claims.FILE == ASSETS / "claims.toml" and claims.FILE.is_file()
