"""Whatever script a name is written in, it keeps to its columns and leaves the figures beside it alone."""

from __future__ import annotations

import pytest

from costspan.report.console import render
from costspan.report.names import clean, fit, width, wrap
from made_runs import made_call, made_run

MARK = "\u200e"
HEBREW, ARABIC = "שלום עולם", "وكيل البحث"


@pytest.mark.parametrize("name", [HEBREW, ARABIC])
def test_the_figures_after_a_name_from_right_to_left_keep_their_order(name):
    # By the bidirectional algorithm figures after such a letter belong to its run, and are shown from right to left.
    shown = clean(name, ascii_only=False)
    assert shown == name + MARK
    assert width(shown) == len(name)
    assert fit(shown, 6).endswith(MARK)
    text = render(made_run((made_call(name),), workflow=name), ascii_only=False)
    for found in text.splitlines():
        before, _, after = found.rpartition(name[-1])
        assert not before or after.startswith(MARK)


def test_other_names_get_no_mark():
    assert clean("Müller 研究", ascii_only=False) == "Müller 研究"
    assert clean(HEBREW, ascii_only=True).isascii()


@pytest.mark.parametrize(
    ("name", "columns"), [("é̂̃̄", 1), ("ก็", 1), ("한국", 4), ("\u2764\ufe0f", 2), ("1\ufe0f\u20e3", 2), ("研究 a", 6)]
)
def test_a_name_has_the_columns_that_a_terminal_gives_it(name, columns):
    assert width(name) == columns


def test_a_sentence_in_a_wide_script_is_wrapped_and_nothing_of_it_is_left_out():
    text = "note: " + "研究員が長い名前を使う" * 12 + " costs $0.0137 and " + "漢字 " * 60 + "end"
    lines = wrap(text, 60, "  ")
    assert all(width(line) <= 60 for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(line.startswith("  ") for line in lines[1:])


def test_words_stay_whole_where_they_fit():
    assert wrap("  one two three four", 12, "    ") == ["  one two", "    three", "    four"]
    assert wrap("", 10) == []


@pytest.mark.parametrize("columns", [0, 1, 2, 3, 4])
def test_a_terminal_narrower_than_the_indent_gets_a_character_a_line(columns):
    lines = wrap("hint: 研究 ab", columns, "    ")
    assert "".join("".join(lines).split()) == "hint:研究ab"
