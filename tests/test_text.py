"""Words: numbers and tables as every room prints them."""

from __future__ import annotations

import pytest

from jpas_gbm.text import aligned, cell, html_table, with_span


def test_columns_are_padded_to_their_widest_cell():
    rows = [["a", "1.5"], ["long name", "-"]]
    assert aligned(["", "value"], rows) == ["           value", "a          1.5", "long name  -"]
    assert aligned(["", "value"], rows, right=True) == ["           value", "a            1.5", "long name      -"]


@pytest.mark.parametrize(
    ("value", "interval", "sign", "terminal", "page"),
    [
        (0.8774, [0.861, 0.892], False, "0.877 [0.861, 0.892]", "0.877 [0.861, 0.892]"),
        (-0.5, [-1, 0.25], True, "-0.500 [-1.000, +0.250]", "\N{MINUS SIGN}0.500 [\N{MINUS SIGN}1.000, +0.250]"),
        (None, None, False, "-", "\N{EN DASH}"),
        (float("nan"), [None, None], False, "-", "\N{EN DASH}"),
    ],
)
def test_the_terminal_says_in_ascii_what_the_page_says(value, interval, sign, terminal, page):
    assert cell(value, interval, sign=sign) == terminal
    assert with_span(value, interval, sign=sign) == page


def test_html_tables_escape_their_text():
    html = html_table(["", "a<b"], [["x & y", "<script>"]], "m <= 22.5")
    assert "<script>" not in html and "&lt;script&gt;" in html and "x &amp; y" in html
    assert html.startswith("<table><caption>m &lt;= 22.5</caption>") and html.endswith("</table>")
