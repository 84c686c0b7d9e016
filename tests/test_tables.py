"""Tables: HTML with a caption and straight columns, and the same as text."""

import doctest

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from prompttune_utils import tables
from prompttune_utils.tables import Table

ROWS = [
    {"method": "prompt", "例": "这部电影", "accuracy": 0.7512, "mean": "0.75 ± 0.01"},
    {"method": "<b>head</b>", "例": "好", "accuracy": 0.5, "mean": "0.50 ± 0.02"},
]


def parsed(table):
    return BeautifulSoup(table._repr_html_(), "html.parser")


def test_examples_of_the_docstrings():
    assert doctest.testmod(tables).failed == 0


def test_html_has_caption_header_and_cells():
    page = parsed(Table(ROWS, "Accuracy & more.", digits=2))
    assert page.caption.text == "Accuracy & more."
    assert [cell.text for cell in page.thead.find_all("th")] == list(ROWS[0])
    assert [cell.text for cell in page.tbody.find_all("tr")[1].find_all("td")] == [
        "<b>head</b>",
        "好",
        "0.50",
        "0.50 ± 0.02",
    ]
    assert "dataframe" in page.table["class"]


def test_words_to_the_left_and_numbers_to_the_right():
    cells = parsed(Table(ROWS, "A caption.")).tbody.tr.find_all("td")
    assert ["text" in cell["class"] for cell in cells] == [True, True, False, False]


def test_same_table_same_html_and_two_tables_two_ids():
    one, again, other = (Table(ROWS, c) for c in ("One.", "One.", "Other."))
    assert one._repr_html_() == again._repr_html_()
    assert parsed(one).table["id"] != parsed(other).table["id"]


def test_text_keeps_chinese_columns_straight():
    def columns(line):
        return sum(2 if "\u2e80" < c < "\uffef" else 1 for c in line)

    lines = str(Table(ROWS, "A caption.")).splitlines()
    assert len({columns(line) for line in lines[1:]}) == 1


def test_a_named_index_is_the_first_column():
    frame = pd.DataFrame({"x": [1, 2]}, index=pd.Index(["a", "b"], name="rule"))
    assert parsed(Table(frame, "A caption.")).thead.th.text == "rule"
    assert parsed(Table(frame.rename_axis(None), "A caption.")).thead.th.text == "x"


@pytest.mark.parametrize("data, caption", [([], "A caption."), (ROWS, " ")])
def test_refusals(data, caption):
    with pytest.raises(ValueError, match="^The table .* has no .*: give it some.$"):
        Table(data, caption)
