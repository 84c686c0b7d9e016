"""Tables as a reader wants them: HTML with a caption, numbers to the right, and columns
that stay straight with Chinese in them."""

import html
import zlib

import pandas as pd


class Table:
    """A table that a notebook shows as HTML, and a terminal as text.

    Args:
        data: a DataFrame, or what makes one: rows as dicts, or columns as a dict. An
            index with a name becomes the first column; without a name it is not shown.
        caption: one sentence that says what the numbers are.
        digits: of floats; whole numbers and texts are shown as they are.

    Raises:
        ValueError: no caption, or no row.

    >>> Table([{"method": "prompt", "accuracy": 0.7512}], "Accuracy on reviews.", 2)
    Accuracy on reviews.
    method accuracy
    prompt     0.75
    """

    def __init__(self, data, caption: str, digits: int = 3):
        frame = pd.DataFrame(data)
        if not caption.strip() or frame.empty:
            missing = "rows" if caption.strip() else "caption"
            raise ValueError(f"The table {caption!r} has no {missing}: give it some.")
        named = any(name is not None for name in frame.index.names)
        self.frame = frame.reset_index(drop=not named)
        self.caption, self.digits = caption, digits

    def format(self, value) -> str:
        """A cell as text."""
        return f"{value:.{self.digits}f}" if isinstance(value, float) else str(value)

    def __repr__(self) -> str:
        with pd.option_context("display.unicode.east_asian_width", True):
            shown = self.frame.map(self.format).to_string(index=False)
        return f"{self.caption}\n{shown}"

    def _repr_html_(self) -> str:
        numbers = self.frame.map(is_number).any()
        look = pd.DataFrame("text", self.frame.index, self.frame.columns)
        look.loc[:, numbers] = ""
        styler = (
            self.frame.style.format(self.format, escape="html")
            .format_index(str, escape="html", axis="columns")
            .hide(axis="index")
            .set_caption(html.escape(self.caption))
            .set_table_attributes('class="dataframe"')
            .set_td_classes(look)
            # else a random one, which would differ from run to run
            .set_uuid(f"{zlib.crc32(self.caption.encode()):x}")
        )
        return styler.to_html(cell_ids=False)


def is_number(value) -> bool:
    """Whether a cell holds a number, or a text that begins with one."""
    return str(value).lstrip("+-−±~ ")[:1].isdigit()
