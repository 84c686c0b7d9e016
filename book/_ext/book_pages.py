"""What the book needs beyond its settings: the tables of the chapters, of the status
page and of the real models, the answers of the claims ledger, and a site without
Thebe."""

import colorsys
import hashlib
import json
import os
import re
import shutil
import tomllib
from pathlib import Path

import yaml

RESULTS = Path("prompttune_utils", "assets", "results")
CLAIMS = Path("prompttune_utils", "assets", "claims.toml")
VERDICTS = ("reproduced", "contradicted", "undecided", "not testable here")
SIGNS = dict(zip((*VERDICTS, "in part"), "✓✗?–◐"))
TIMINGS = RESULTS / "timings.json"
EXTRAS = ("book", "real", "test")
REAL = "real/real_figures"


def contents(root: Path) -> str:
    """The rows of the README's table of chapters, which the chapters give."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \w\d \| \[.*$", readme, re.M)
    return "\n".join(rows).replace("](notebooks/", "](../notebooks/")


def versions(root: Path) -> str:
    """A table row for each package that pyproject.toml names, with the version that
    constraints.txt pins."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))[
        "project"
    ]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + sum(map(extras.get, EXTRAS), [])
    pinned = dict(
        re.findall(
            r"^([\w.-]+)==(\S+)",
            (root / "constraints.txt").read_text(encoding="utf-8"),
            re.M,
        )
    )
    pinned = {
        name.lower().replace("_", "-"): version for name, version in pinned.items()
    }
    names = sorted(re.match(r"[\w.-]+", line)[0].lower() for line in wanted)
    return "\n".join(f"| {name} | {pinned.get(name, '-')} |" for name in names)


def timings(root: Path) -> str:
    """A table row for each chapter, with what `make budget` measured, and their sum.

    Raises:
        ValueError: a chapter was not measured.
    """
    kept = root / TIMINGS
    rows = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []
    chapters = {n.stem for n in (root / "notebooks").glob("*.ipynb")}
    if missing := sorted(chapters - {row["notebook"] for row in rows}):
        raise ValueError(
            f"book/status.md: {missing[0]} was not measured: run `make budget`."
        )
    lines = [
        f"| [](../notebooks/{row['notebook']}.ipynb) | {row['cpu_seconds']:.1f} "
        f"| {row['wall_seconds']:.1f} |"
        for row in rows
    ]
    cpu, wall = (
        sum(row[key] for row in rows) for key in ("cpu_seconds", "wall_seconds")
    )
    return "\n".join([*lines, f"| **sum** | **{cpu:.1f}** | **{wall:.1f}** |"])


def recorded(root: Path, run: str) -> dict[tuple, list]:
    """The values of one experiment on the real models, by its settings; those of
    several seeds in one list. Controls are a run of their name."""
    kept, found = root / RESULTS / f"{REAL}.json", {}
    for entry in json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else []:
        settings = entry["settings"]
        if run in (settings.get("run"), *settings):
            found.setdefault(
                tuple(settings.get("settings", [settings.get(run)])), []
            ).append(entry["value"])
    return found


def shown(values: list[float], digits: int = 3) -> str:
    """Mean ± half-width of the 95 % interval; the mean alone of one value."""
    from prompttune_utils.evaluation import mean_interval

    mean, half = mean_interval(values)
    return f"{mean:.{digits}f}" + (f" ± {half:.{digits}f}" if len(values) > 1 else "")


def real_decoder(root: Path) -> str:
    """A table row for each way to ask the real decoder: accuracy and AUC on SST-2, and
    how many draws or seeds they are a mean of."""
    rows = {}
    for (shots,), values in recorded(root, "shown").items():
        shown_rows = f"{2 * shots} demonstrations" if shots else "zero-shot"
        for prior in ("none", "content-free", "unlabelled"):
            taken = "" if prior == "none" else f", prior of {prior} texts taken out"
            rows[shown_rows + taken] = [value[prior] for value in values]
    for (_, steps), values in recorded(root, "prompted").items():
        name = f"soft prompt, {steps} steps" if steps else "soft prompt, untrained"
        rows[name] = values
    return measured_rows(root, rows)


def real_encoder(root: Path) -> str:
    """A table row for each number of labelled rows: accuracy and AUC on SST-2 of
    logistic regression over the real encoder's frozen vectors."""
    runs = recorded(root, "classified")
    rows = {f"{count:,} rows": values for (count,), values in sorted(runs.items())}
    return measured_rows(root, rows)


def measured_rows(root: Path, rows: dict[str, list[dict]]) -> str:
    """A table row for each name: mean accuracy and AUC, and the number of runs; the
    majority comes first."""
    lines = [
        f"| *majority* | {values[0]:.3f} | - | - |"
        for values in recorded(root, "majority").values()
    ]
    for name, values in rows.items():
        cells = [shown([v[what] for v in values]) for what in ("accuracy", "auc")]
        lines.append(f"| {name} | {' | '.join(cells)} | {len(values)} |")
    return "\n".join(lines) or "| - | - | - | - |"


# ---- the ledger of claims


def declared_claims(root: Path) -> dict[str, dict]:
    """The claims that were written down before they were tested, by number."""
    from prompttune_utils import claims

    return claims.ledger(root / CLAIMS)


def verdicts(root: Path) -> dict[tuple[str, str], dict[str, dict]]:
    """What the chapters answered to the parts of those claims: (chapter, claim) ->
    part -> answer, with `holm`, its p value adjusted for all parts of the ledger.

    Raises:
        ValueError: an answer has other parts than were written down.
    """
    from prompttune_utils import claims

    declared, found = declared_claims(root), {}
    for kept in sorted((root / RESULTS).glob("*.claims.json")):
        chapter = kept.name.removesuffix(".claims.json")
        for claim, given in json.loads(kept.read_text(encoding="utf-8")).items():
            parts = declared.get(claim, {}).get("parts", {})
            tested = {n for n, part in parts.items() if "not_testable" not in part}
            if tested != given["parts"].keys():
                raise ValueError(
                    f"{kept.name} answers other parts of {claim} than claims.toml has:"
                    " run `make results`."
                )
            found[chapter, claim] = given["parts"]
    answers = [part for parts in found.values() for part in parts.values()]
    for part, p in zip(answers, claims.holm([part["p"] for part in answers])):
        part["holm"] = p
    return found


def badge(word: str) -> str:
    """A verdict as HTML: a sign and the word, so that colour never stands alone."""
    sign = f'<span aria-hidden="true">{SIGNS[word]}</span>'
    return f'<span class="verdict {word.replace(" ", "-")}">{sign} {word}</span>'


def answer(root: Path, number: str, chapter: str) -> str:
    """The answer to a claim as markdown: the verdict, how many parts have which, a link
    to the cell that shows it, and the parts, folded.

    Raises:
        ValueError: the claim was not written down for this chapter, or not answered.
    """
    from prompttune_utils import claims

    declared = declared_claims(root).get(number)
    if declared is None or declared["chapter"] != chapter:
        raise ValueError(
            f"book/claims.md: claims.toml has no {number} of {chapter}: write it there."
        )
    link = f"[](../notebooks/{chapter}.ipynb)"
    if "not_testable" in declared:
        return f"{badge('not testable here')} {declared['not_testable']}. {link}"
    every = verdicts(root)
    words = words_of(declared, number, every)
    found = every.get((chapter, number), {})
    again = repeated(found)
    lines = [
        f"- {badge(word)} **{name}**: "
        f"{part_said(part, found.get(name), again.get(name))}"
        for word, (name, part) in zip(words, declared["parts"].items())
    ]
    where = f"{{ref}}`the cell that shows it <{cell_label(number)}>` in {link}"
    counts = f"{counted(words)}; {where}"
    folded = f":::{{dropdown}} {parts_named(words)}\n:class-body: claim-parts\n\n"
    block = [f"{badge(claims.whole(words))} {counts}", "", folded, *lines, "", ":::"]
    return "\n".join(block).replace("\n", "\n  ")


def words_of(declared: dict, number: str, found: dict) -> list[str]:
    """The verdict on each part of a claim. Raises ValueError where it has no answer."""
    given, words = found.get((declared["chapter"], number)), []
    for name, part in declared["parts"].items():
        if "not_testable" in part:
            words.append("not testable here")
        elif given is None:
            raise ValueError(
                f"book/claims.md: {declared['chapter']} gives no answer to {number}: "
                "call claims.judge in it and run `make results`."
            )
        else:
            words.append(given[name]["verdict"])
    return words or ["not testable here"]


def cell_label(number: str) -> str:
    """The label of the cell in which a claim is judged."""
    return f"claim-{number.lower()}"


def parts_named(words: list[str]) -> str:
    return f"The {len(words)} parts" if len(words) > 1 else "Its one part"


def counted(words: list[str]) -> str:
    """How many parts have which verdict: `3 parts reproduced, 1 undecided`."""
    kinds = [(sum(w == kind for w in words), kind) for kind in VERDICTS]
    first, *others = [(count, kind) for count, kind in kinds if count]
    parts = "part" if first[0] == 1 else "parts"
    said = [f"{first[0]} {parts} {first[1]}", *(f"{n} {kind}" for n, kind in others)]
    return ", ".join(said)


def part_said(part: dict, given: dict | None, again: str | None) -> str:
    """What stands in the ledger of a part: what was compared, and under it the
    numbers."""
    from prompttune_utils import claims

    if given is None:
        return f"{part['says']}.\n\n  {part['not_testable']}."
    counts = " × ".join(f"{given[n]} {n}" for n in ("seeds", "rows") if n in given)
    p = f"{given['holm']:.2g}" if given["holm"] >= 0.001 else "below 0.001"
    numbers = [
        f"{claims.effect(given)} {given['unit']}",
        f"wanted: more than {given['smallest']:+.3g}",
        f"{given['backbone']}, {counts}",
        f"Holm's p {p}",
    ]
    if given["verdict"] == "undecided":
        numbers.append(claims.would_decide(given))
    if again:
        numbers.append(again)
    return f"{part['says']}.\n\n  {'; '.join(numbers)}."


def repeated(found: dict[str, dict]) -> dict[str, str]:
    """For each part that was tested on another model too, what came out there. Parts
    are the same when their names are, but for the model."""
    models = {m for given in found.values() for m in given["backbone"].split(", ")}
    names = {name: name.split(", ") for name in found}
    keys = {
        name: frozenset(w for w in words if not any(m.startswith(w) for m in models))
        for name, words in names.items()
    }
    said = {}
    for name, given in found.items():
        others = [
            f"{other['backbone']} {other['verdict']}"
            for twin, other in found.items()
            if keys[twin] == keys[name] != frozenset()
            and other["backbone"] != given["backbone"]
        ]
        if others:
            said[name] = f"the same on {', on '.join(others)}"
    return said


def totals(root: Path) -> str:
    """A table row for each verdict: how many parts have it, and how many claims count
    so as a whole."""
    from prompttune_utils import claims

    found, parts, whole = verdicts(root), [], []
    for number, claim in declared_claims(root).items():
        words = words_of(claim, number, found)
        parts, whole = parts + words, [*whole, claims.whole(words)]
    lines = [
        f"| {badge(word)} | {parts.count(word) or '-'} | {whole.count(word) or '-'} |"
        for word in (*VERDICTS, "in part")
    ]
    return "\n".join([*lines, f"| all | {len(parts)} | {len(whole)} |"])


def corrected(root: Path) -> str:
    """How many decided parts stay decided after the correction."""
    given = [part for parts in verdicts(root).values() for part in parts.values()]
    decided = [part for part in given if part["verdict"] != "undecided"]
    stay = sum(part["holm"] < 0.05 for part in decided)
    return (
        f"Of the {len(decided)} parts that are reproduced or contradicted, {stay} have "
        "a Holm's p below 0.05; of the others, expect some to come out otherwise when "
        "the experiment is repeated."
    )


def further(root: Path) -> str:
    """The claims that were written down and have no line of their own on the page."""
    page = (root / "book" / "claims.md").read_text(encoding="utf-8")
    lines = [
        f"{number}. {claim['says']}\n: {answer(root, number, claim['chapter'])}\n"
        for number, claim in declared_claims(root).items()
        if f"% answer {number} " not in page
    ]
    return "\n".join(["## Further claims\n", *lines]) if lines else ""


def label_claims(app, doctree) -> None:
    """Each cell that judges a claim can be linked to by `claim-c06`."""
    from docutils import nodes

    labels = app.env.get_domain("std").anonlabels
    for cell in doctree.findall(nodes.container):
        if cell.get("nb_element") == "cell_code":
            for number in re.findall(r'\bclaims\.judge\(\s*"(C\d\d)"', cell.astext()):
                cell["ids"].append(cell_label(number))
                labels[cell_label(number)] = app.env.docname, cell_label(number)


def colab(root: Path) -> str:
    """How to open a chapter on Colab: by its button once _config.yml names the
    repository, and until then by hand."""
    version = re.search(
        r'__version__ = "(.+)"',
        (root / "prompttune_utils" / "__init__.py").read_text(encoding="utf-8"),
    )[1]
    url = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))[
        "repository"
    ]["url"]
    if "/OWNER/" not in url:
        return (
            "Open a chapter, then the rocket at the top, then Colab. The folded first "
            f"cell installs `prompttune-utils=={version}` from the package index or, "
            f"where that fails, from <{url}>."
        )
    return (
        "The course has no public address yet, so there is no button. Download a "
        "chapter with the button at its top, and run `make wheel`, which writes "
        f"`dist/prompttune_utils-{version}-py3-none-any.whl`. On Colab choose "
        "*File*, *Upload notebook*, then put the wheel into the files on the left, and "
        "in a cell above all others run:\n\n"
        f"```\n%pip install prompttune_utils-{version}-py3-none-any.whl\n```"
    )


TABLES = {
    "book/claims": (totals, corrected, further),
    "book/index": (contents,),
    "book/running": (colab,),
    "book/real_model": (real_decoder, real_encoder),
    "book/status": (versions, timings),
}


def fill(app, docname: str, source: list[str]) -> None:
    """Puts the rows where the pages say `% versions` and the like, and the answers into
    the ledger; the words stay in the pages, to be translated."""
    for table in TABLES.get(docname, ()):
        mark = f"% {table.__name__}"
        if mark in source[0]:
            source[0] = source[0].replace(mark, table(Path(app.srcdir)))
    if docname == "book/claims":
        source[0] = re.sub(
            r"% answer (C\d\d) (\w+)",
            lambda found: answer(Path(app.srcdir), *found.groups()),
            source[0],
        )


def drop_placeholder(app, config) -> None:
    """No button for Colab that leads nowhere, while _config.yml has no address."""
    theme = config.html_theme_options
    if "/OWNER/" in theme.get("repository_url", ""):
        theme["launch_buttons"] = {}


def drop_thebe(app, config) -> None:
    """Jupyter Book loads sphinx-thebe even where it is not wanted: a script of another
    host, declared twice on every page."""
    for listeners in app.events.listeners.values():
        listeners[:] = [
            it
            for it in listeners
            if not getattr(it.handler, "__module__", "").startswith("sphinx_thebe")
        ]
    app.registry.css_files = [
        it for it in app.registry.css_files if it[0] != "sphinx-thebe.css"
    ]


def hide_marks(app, doctree) -> None:
    """Code cells are shown without the marks of the export, `#| export`, which are for
    the tools and not for the reader."""
    from docutils import nodes

    for block in doctree.findall(nodes.literal_block):
        lines = block.astext().split("\n")
        if lines[0].startswith("#|"):
            text = "\n".join(lines[1:]).lstrip("\n")
            block.rawsource, block.children = text, []
            block += nodes.Text(text)


def darkened(svg: str) -> str:
    """The drawing for a dark ground: greys change places with each other, pale colours,
    which fill boxes, become dark ones, and colours that would be too dark are made
    lighter."""

    def change(found: re.Match) -> str:
        red, green, blue = (int(found[1][i : i + 2], 16) / 255 for i in (0, 2, 4))
        hue, light, strength = colorsys.rgb_to_hls(red, green, blue)
        grey = max(red, green, blue) - min(red, green, blue) < 0.12
        turned = grey or light > 0.85
        light = 0.92 - 0.83 * light if turned else max(light, 0.58)
        strength = min(strength, 0.6) if light < 0.5 else strength  # of a dark ground
        rgb = colorsys.hls_to_rgb(hue, light, strength)
        return "#" + "".join(f"{round(255 * part):02x}" for part in rgb)

    svg = re.sub(r"#([0-9a-fA-F]{6})\b", change, svg)
    # what names no colour is black, and so it is in the dark
    root = re.search(r"<svg\b", svg).end()
    return f"{svg[:root]} fill='#ebebeb'{svg[root:]}"


def dark_figures(app, doctree) -> None:
    """Beside every SVG of a page comes one for the dark theme, which shows it
    instead."""
    from docutils import nodes

    folder = Path(app.outdir).parent / "dark"
    for image in list(doctree.findall(nodes.image)):
        if not image["uri"].endswith(".svg") or "://" in image["uri"]:
            continue
        source = Path(app.env.relfn2path(image["uri"], app.env.docname)[1])
        drawing = source.read_text(encoding="utf-8")
        kept = folder / f"{hashlib.sha256(drawing.encode()).hexdigest()[:16]}.svg"
        folder.mkdir(exist_ok=True)
        kept.write_text(darkened(drawing), encoding="utf-8")
        dark = image.deepcopy()
        dark["uri"] = "/" + os.path.relpath(kept, app.srcdir)
        dark["ids"], dark["names"] = [], []
        image["classes"].append("only-light")
        dark["classes"].append("only-dark")
        image.parent.insert(image.parent.index(image) + 1, dark)


NAMES = {
    # the references are a list, and its entries carry a role that is no list item
    'role="doc-biblioentry"': 'role="listitem"',
    # what unfolds a cell is named by what it shows: Set-up, Solution 1
    '<summary aria-label="Toggle hidden content">': "<summary>",
}


def mend_names(app, pagename, templatename, context, doctree) -> None:
    """What a screen reader is told, where the parts of the page tell it wrong."""
    for wrong, right in NAMES.items():
        context["body"] = context.get("body", "").replace(wrong, right)


def first_page_icon(app, error) -> None:
    """Puts the icon where browsers look for that of a page without a link to one: the
    first page, which Jupyter Book writes and which only leads to the welcome page."""
    if error is None and app.builder.format == "html":
        icon = Path(app.srcdir) / "book" / "_static" / "favicon.svg"
        shutil.copy(icon, Path(app.outdir) / "favicon.ico")


def setup(app) -> dict:
    app.connect("source-read", fill)
    app.connect("doctree-read", hide_marks)
    app.connect("doctree-read", label_claims)
    app.connect(
        "doctree-read", dark_figures, priority=100
    )  # before images are gathered
    app.connect("html-page-context", mend_names)
    app.connect("config-inited", drop_thebe)
    app.connect("config-inited", drop_placeholder)
    app.connect("build-finished", first_page_icon)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
