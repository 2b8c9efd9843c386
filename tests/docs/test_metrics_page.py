"""The page of metrics names what the code has, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from costspan import conventions as names
from costspan.account.meter_specs import SPECS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "metrics.md").read_text()
ROWS = {
    name: (kind, tuple(label for label in labels.split(", ") if label != "-"), meaning)
    for name, kind, labels, meaning in re.findall(r"^\| `(costspan_\w+)` \| (\w+) \| ([^|]+) \| (.+) \|$", PAGE, re.MULTILINE)
}


def test_every_metric_has_one_row_and_no_row_is_made_up():
    assert set(ROWS) == set(names.LABELS)
    assert len(re.findall(r"^\| `costspan_", PAGE, re.MULTILINE)) == len(names.LABELS)


def test_each_row_has_the_type_and_the_labels_of_the_code():
    assert {name: row[:2] for name, row in ROWS.items()} == {
        name: (SPECS[name].kind, labels) for name, labels in names.LABELS.items()
    }


def test_every_value_of_a_closed_label_is_explained():
    closed = (
        names.TOKEN_TYPES, names.COST_TYPES, names.OUTCOMES, names.UNPRICED_REASONS, names.UNREPORTED_REASONS,
        names.WASTE_REASONS, names.TOOL_PARTS,
    )  # fmt: skip
    assert [value for values in closed for value in values if not re.search(rf"\b{value}\b", PAGE)] == []


def test_metrics_named_in_the_text_exist():
    assert set(re.findall(r"`(costspan_\w+)`", PAGE)) <= set(names.LABELS)


def test_the_buckets_that_the_page_promises_exist():
    assert 0.9 in SPECS[names.CONTEXT_RATIO].bounds
    assert 5 in SPECS[names.RUN_COST_USD].bounds
    assert 1_000_000 in SPECS[names.RUN_TOKENS].bounds
    assert 200 in SPECS[names.RUN_CALLS].bounds


def test_the_limits_that_the_page_states_are_those_of_the_code():
    assert f"at most {names.LABEL_VALUES_MAX} values" in PAGE
    assert f"at most {names.LABEL_COMBINATIONS_MAX} combinations" in PAGE
