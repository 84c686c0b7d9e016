"""The sheet that every drawing of the course is drawn on, and the shapes they share.

All lengths are in units of the sheet, which is WIDTH units wide. On a phone of 390
pixels a unit is about 0.55 pixels, so the smallest text, SMALL, is still 9 pixels high.
"""

import functools
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
from PIL import ImageFont

WIDTH, MARGIN = 640, 16
SMALL, NORMAL, LARGE = 17, 19, 22
LINE = 1.25  # from one line of a text to the next, in its size
PADDING = 7  # between a box and its text
FONT = "Inter, 'Segoe UI', 'Noto Sans', 'Noto Sans CJK SC', sans-serif"

# What the colours mean: orange is trained, grey is frozen, green is the output, and
# blue is written by a person. Plain are texts and the numbers that a model computes;
# chosen is the one of them that matters. Symbols have the colour of a kind's edge.
THEMES = {
    "light": {
        "ground": "#ffffff",
        "ink": "#1f2933",
        "quiet": "#4a5663",
        "plain": "#ffffff",
        "plain edge": "#7b8794",
        "chosen": "#ffffff",
        "chosen edge": "#1f2933",
        "frozen": "#ebedef",
        "frozen edge": "#7b8794",
        "trained": "#ffedd8",
        "trained edge": "#c9630a",
        "output": "#dcf2e6",
        "output edge": "#2f855a",
        "written": "#e0edfb",
        "written edge": "#2f6fb5",
    },
    "dark": {
        "ground": "#14181e",
        "ink": "#e4e7eb",
        "quiet": "#b3bec9",
        "plain": "#14181e",
        "plain edge": "#8a96a3",
        "chosen": "#14181e",
        "chosen edge": "#e4e7eb",
        "frozen": "#2a323b",
        "frozen edge": "#9aa5b1",
        "trained": "#46290d",
        "trained edge": "#f2a355",
        "output": "#143527",
        "output edge": "#5fc08f",
        "written": "#17304d",
        "written edge": "#74aeea",
    },
}
KINDS = {
    "frozen": "frozen: no number changes",
    "trained": "trained on the labels",
    "output": "the answer",
    "written": "written by a person",
}
WIDE = r"[\u2e80-\uffef]"  # Chinese and its full-width marks
PIECES = re.compile(rf"{WIDE}[，。！？：；、）]?|[^\s\u2e80-\uffef]+|\s+")


@functools.cache
def font(bold: bool) -> ImageFont.FreeTypeFont:
    """The font that matplotlib brings, which is wider than those that FONT asks for."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", name)
    return ImageFont.truetype(path, 100, layout_engine=ImageFont.Layout.BASIC)


def text_width(text: str, size: float, bold: bool = False) -> float:
    """The width of one line in units, rather too much than too little."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    narrow = "".join(c for c in text if unicodedata.east_asian_width(c) not in "WF")
    return size * (wide + font(bold).getlength(narrow) / 100)


def wrapped(text: str, width: float, size: float, bold: bool = False) -> list[str]:
    """The text in as few lines of at most `width` units as possible, of about the same
    length. A word that is wider stands alone."""

    def lines_of(limit: float) -> list[str]:
        lines, line = [], ""
        for piece in PIECES.findall(text):
            if line and text_width((line + piece).rstrip(), size, bold) > limit:
                lines.append(line.rstrip())
                line = ""
            line += piece if line else piece.lstrip()
        return [*lines, line.rstrip()]

    best = lines_of(width)
    for limit in range(int(width) if len(best) > 1 else 0, 0, -3):
        lines = lines_of(limit)
        widest = max(text_width(line, size, bold) for line in lines)
        if len(lines) > len(best) or widest > limit:
            break
        best = lines
    return best


class Drawing:
    """A drawing of the course: the last line of a cell shows it.

    Args:
        title: one or two sentences that say what the drawing shows, for who cannot see
            it. It is the SVG's title and its label.
        words: other words for some of the drawing's texts, such as {"frozen": "冻结"}.
            `texts()` lists what can be replaced, the title among it.

    A text that does not fit where it stands is a ValueError. The sheet is as high as
    what was drawn on it.
    """

    def __init__(self, title: str, words: Mapping[str, str] | None = None):
        self.words, self.said = dict(words or {}), []
        self.shapes, self.bottom = [], 0.0
        self.title = self.say(title)

    # ---- what is asked of a drawing

    def texts(self) -> list[str]:
        """The texts that `words` can replace, each once, in the order of drawing."""
        return list(dict.fromkeys(self.said))

    def svg(self, theme: str = "light") -> str:
        """The drawing as SVG, for the "light" or the "dark" theme."""
        if theme not in THEMES:
            raise ValueError(
                f"There is no theme {theme!r} for a drawing: take 'light' or 'dark'."
            )
        height = round(self.bottom + MARGIN)
        root = ElementTree.Element(
            "svg",
            {
                "xmlns": "http://www.w3.org/2000/svg",
                "width": str(WIDTH),
                "height": str(height),
                "viewBox": f"0 0 {WIDTH} {height}",
                "role": "img",
                "aria-label": self.title,
                "font-family": FONT,
            },
        )
        ElementTree.SubElement(root, "title").text = self.title
        ground = {"width": WIDTH, "height": height, "rx": 10, "fill": "ground"}
        for tag, content, attributes in [("rect", None, ground), *self.shapes]:
            shape = ElementTree.SubElement(root, tag)
            for name, value in attributes.items():
                if name in ("fill", "stroke"):
                    value = THEMES[theme].get(value, value)
                shape.set(name.replace("_", "-"), plain(value))
            if isinstance(content, str):
                shape.text = content
            for line in content if isinstance(content, list) else []:
                part = ElementTree.SubElement(shape, "tspan", line[1])
                part.text = line[0]
        return ElementTree.tostring(root, encoding="unicode")

    def _repr_svg_(self) -> str:
        return self.svg()

    def finished(self) -> "Drawing":
        """The drawing itself. Raises ValueError where `words` has a text that the
        drawing does not say."""
        for text in self.words:
            if text not in self.said:
                raise ValueError(
                    f"The drawing does not say {text!r}, so it cannot be replaced: "
                    "take one of its texts()."
                )
        return self

    # ---- the shapes

    def say(self, text: str) -> str:
        """The text in the drawing's language."""
        self.said.append(text)
        return self.words.get(text, text)

    def shape(self, tag: str, bottom: float, content=None, **attributes) -> None:
        """Adds an element of SVG that reaches down to `bottom`; fill and stroke may
        name a colour of the theme."""
        self.bottom = max(self.bottom, bottom)
        self.shapes.append((tag, content, attributes))

    def text(
        self,
        x: float,
        y: float,
        text: str,
        size: float = SMALL,
        colour: str = "ink",
        anchor: str = "middle",
        bold: bool = False,
        italic: bool = False,
        width: float | None = None,
        lines: int = 1,
    ) -> float:
        """A text of at most `lines` lines, whose middle is as high as y; returns the
        height of its lines.

        `width`: what it may take, by default what the sheet leaves. `anchor`: what of
        it stands at x, its "start", "middle" or "end".
        """
        left, right = x, WIDTH - x
        room = {"start": right, "end": left, "middle": 2 * min(left, right)}[anchor]
        width = min(room - 4, room if width is None else width)
        spoken = self.say(text)
        rows = wrapped(spoken, width, size, bold)
        widest = max(text_width(row, size, bold) for row in rows)
        if widest > width or len(rows) > lines:
            raise ValueError(
                f"The label {spoken!r} does not fit into {lines} line(s) of "
                f"{width:.0f} units: shorten it or give it more room."
            )
        height = LINE * size * len(rows)
        first = y - height / 2 + (LINE / 2 + 0.35) * size  # the line letters stand on
        style = {"font_size": size, "text_anchor": anchor, "fill": colour}
        style |= {"font_weight": 600} if bold else {}
        style |= {"font_style": "italic"} if italic else {}
        steps = [first + LINE * size * number for number in range(len(rows))]
        content = rows[0]
        if len(rows) > 1:
            content = [
                (row, {"x": plain(x), "y": plain(step)})
                for row, step in zip(rows, steps)
            ]
        self.shape("text", y + height / 2, content, x=x, y=first, **style)
        return height

    def note(
        self, x: float, y: float, name: str, about: str, width: float, lines: int = 3
    ) -> None:
        """A label beside the drawing: a name, and under it what is said about it, from
        x to the right, with its middle as high as y."""
        spoken = self.words.get(about, about)
        rows = len(wrapped(spoken, width, SMALL))
        top = y - LINE * (NORMAL + SMALL * rows) / 2
        self.text(
            x,
            top + LINE * NORMAL / 2,
            name,
            NORMAL,
            anchor="start",
            bold=True,
            width=width,
        )
        middle = top + LINE * (NORMAL + SMALL * rows / 2)
        self.text(x, middle, about, SMALL, "quiet", "start", width=width, lines=lines)

    def heading(
        self, y: float, name: str, about: str, gap: float, left: float = MARGIN
    ) -> None:
        """The name of a part of the drawing, from `left` on, and what is said about it
        `gap` further right, with their middle as high as y."""
        start = {"anchor": "start"}
        self.text(left, y, name, NORMAL, bold=True, width=gap, **start)
        room = WIDTH - MARGIN - left - gap
        self.text(left + gap, y, about, SMALL, "quiet", width=room, **start)

    def box(
        self,
        x: float,
        y: float,
        w: float,
        h: float,
        kind: str = "plain",
        text: str = "",
        size: float = SMALL,
        bold: bool = False,
        symbol: bool = False,
        dashed: bool = False,
        radius: float = 7,
    ) -> None:
        """A box with its text inside, in as many lines as there is room for; `symbol`
        draws that of its kind at its left."""
        look = {"fill": kind, "stroke": f"{kind} edge", "stroke_width": 1.8}
        look |= {"stroke_dasharray": "5 4"} if dashed else {}
        self.shape("rect", y + h, x=x, y=y, width=w, height=h, rx=radius, **look)
        if symbol:
            self.symbol(x + 21, y + h / 2, kind)
        if text:
            inside = w - 2 * (36 if symbol else PADDING)
            lines = max(1, int((h - 4) / (LINE * size)))
            self.text(
                x + w / 2, y + h / 2, text, size, bold=bold, width=inside, lines=lines
            )

    def tokens(
        self,
        words: Sequence[str],
        y: float,
        kinds: Mapping[int, str] | None = None,
        x: float = MARGIN,
        w: float = WIDTH - 2 * MARGIN,
        gap: float = 6,
        pad: float = PADDING,
        h: float = 38,
        size: float = SMALL,
    ) -> list[float]:
        """One box for each token, in a row that is centred between x and x + w; returns
        the middles of the boxes. `kinds`: the kind of those that are not plain."""
        kinds = kinds or {}
        widths = [
            max(28.0, text_width(self.words.get(word, word), size) + 2 * pad + 1)
            for word in words
        ]
        whole = sum(widths) + gap * (len(words) - 1)
        if whole > w:
            raise ValueError(
                f"The tokens {' '.join(words)!r} need {whole:.0f} units and have "
                f"{w:.0f}: take fewer or shorter ones."
            )
        left, middles = x + (w - whole) / 2, []
        for number, (word, width) in enumerate(zip(words, widths)):
            kind = kinds.get(number, "plain")
            self.shape(
                "rect",
                y + h,
                x=left,
                y=y,
                width=width,
                height=h,
                rx=6,
                fill=kind,
                stroke=f"{kind} edge",
                stroke_width=1.6,
            )
            self.text(
                left + width / 2, y + h / 2, word, size, width=width - 2 * pad + 2
            )
            middles.append(left + width / 2)
            left += width + gap
        return middles

    def vector(
        self, x: float, y: float, kind: str = "frozen", cells: int = 4, cell: float = 12
    ) -> None:
        """A column of small cells around x, from y downwards."""
        self.matrix(x - cell / 2, y, cells, 1, kind, cell)

    def matrix(
        self,
        x: float,
        y: float,
        rows: int,
        columns: int,
        kind: str = "frozen",
        cell: float = 12,
        noise: bool = False,
    ) -> None:
        """A grid of cells from its corner (x, y); `noise` gives them uneven shades, as
        of numbers drawn at random."""
        w, h = columns * cell, rows * cell
        look = {"stroke": f"{kind} edge", "stroke_width": 1.6}
        self.shape("rect", y + h, x=x, y=y, width=w, height=h, rx=2, fill=kind, **look)
        for number in range(rows * columns if noise else 0):
            row, column = divmod(number, columns)
            self.shape(
                "rect",
                y + h,
                x=x + column * cell,
                y=y + row * cell,
                width=cell,
                height=cell,
                fill=f"{kind} edge",
                fill_opacity=(0.1, 0.65, 0.3, 0.85, 0.05, 0.45, 0.7)[
                    (5 * row + 3 * column + row * column) % 7
                ],
            )
        path = [
            f"M{plain(x + i * cell)} {plain(y)}v{plain(h)}" for i in range(1, columns)
        ]
        path += [
            f"M{plain(x)} {plain(y + i * cell)}h{plain(w)}" for i in range(1, rows)
        ]
        self.shape("path", y + h, d="".join(path), fill="none", stroke=f"{kind} edge")

    def line(
        self,
        *points: tuple[float, float],
        colour: str = "quiet",
        dashed: bool = False,
        width: float = 2,
    ) -> None:
        """A line through the points."""
        path = "M" + "L".join(f"{plain(x)} {plain(y)}" for x, y in points)
        look = {"fill": "none", "stroke": colour, "stroke_width": width}
        look |= {"stroke_dasharray": "6 5"} if dashed else {}
        look |= {"stroke_linejoin": "round"}
        self.shape("path", max(y for _, y in points), d=path, **look)

    def arrow(
        self,
        *points: tuple[float, float],
        colour: str = "quiet",
        dashed: bool = False,
    ) -> None:
        """An arrow through the points, with its head at the last; its last piece runs
        straight along the sheet, or down or up it.

        The head is drawn, not a marker: markers have ids, which clash where a page
        shows several drawings.
        """
        (x0, y0), (x, y) = points[-2:]
        length = max(abs(x - x0), abs(y - y0))
        dx, dy = (x - x0) / length, (y - y0) / length
        self.line(*points[:-1], (x - 8 * dx, y - 8 * dy), colour=colour, dashed=dashed)
        one, other = (
            f"{plain(x - 10 * dx + side * dy)} {plain(y - 10 * dy - side * dx)}"
            for side in (5, -5)
        )
        path = f"M{plain(x)} {plain(y)}L{one}L{other}z"
        self.shape("path", max(y, y0), d=path, fill=colour)

    def brace(
        self, x1: float, x2: float, y: float, colour: str = "quiet", up: bool = False
    ) -> None:
        """A bracket from x1 to x2 under what stands above y, or over what stands below
        it (`up`), with a tip for its label."""
        step = -7 if up else 7
        ends = f"M{plain(x1)} {plain(y)}v{step}H{plain(x2)}v{-step}"
        tip = f"M{plain((x1 + x2) / 2)} {plain(y + step)}v{step}"
        look = {"fill": "none", "stroke": colour, "stroke_width": 2}
        self.shape("path", y + 14, d=ends + tip, **look)

    def symbol(self, x: float, y: float, kind: str) -> None:
        """The symbol of a kind, around (x, y): a snowflake, a flame, a pencil, a
        tick."""
        colour, at = f"{kind} edge", f"translate({plain(x)} {plain(y)})"
        line = {"stroke": colour, "stroke_width": 1.9, "stroke_linecap": "round"}
        line |= {"fill": "none", "transform": at}
        if kind == "frozen":
            arms = "M0 -9V9M-2.6 -7.6L0 -5L2.6 -7.6M-2.6 7.6L0 5L2.6 7.6"
            for turn in (0, 60, 120):
                line["transform"] = f"{at} rotate({turn})"
                self.shape("path", y + 9, d=arms, **line)
        elif kind == "trained":
            flame = (
                "M0 -11C1 -6 7 -3 7 3C7 8 4 10 0 10C-4 10 -7 8 -7 3C-7 0 -5 -2 -4 -4"
                "C-3.5 -2 -2.5 -1.5 -1.5 -1.5C-2.5 -5 -2 -8 0 -11z"
            )
            self.shape("path", y + 10, d=flame, fill=colour, transform=at)
        elif kind == "written":
            pencil = "M-8 8L-6.5 3L4 -7.5L7.5 -4L-3 6.5zM1 -4.5L4.5 -1"
            self.shape("path", y + 9, d=pencil, stroke_linejoin="round", **line)
        elif kind == "output":
            self.shape("path", y + 8, d="M-7 0L-2 6L8 -7", **line)

    def legend(
        self,
        y: float,
        kinds: Sequence[str] | Mapping[str, str],
        x: float = MARGIN,
        w: float = WIDTH - 2 * MARGIN,
    ) -> float:
        """What the colours mean, in as many rows as it needs, from y downwards; returns
        where it ends. `kinds`: the kinds, or the words for each."""
        meanings = kinds if isinstance(kinds, Mapping) else {k: KINDS[k] for k in kinds}
        left, middle = x, y + 13
        for kind, meaning in meanings.items():
            width = 40 + text_width(self.words.get(meaning, meaning), SMALL)
            if left > x and left + width > x + w:
                left, middle = x, middle + 32
            self.box(left, middle - 14, 28, 28, kind, radius=6)
            self.symbol(left + 14, middle, kind)
            self.text(left + 36, middle, meaning, SMALL, "quiet", "start", width=width)
            left += width + 22
        return middle + 14


def plain(value) -> str:
    """A number without needless digits; a word as it is."""
    return value if isinstance(value, str) else f"{round(value, 2):g}"
