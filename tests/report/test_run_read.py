"""A record read back is the run that it was written from."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costspan.errors import InputError
from costspan.records import Run, Totals
from costspan.report.console import render
from costspan.report.html import page
from costspan.report.run_json import to_json, to_record, write
from costspan.report.run_read import from_record, is_record, read
from made_runs import full_run, made_run, pipeline

EMPTY = Run("r", None, 0, 0, "ok", (), Totals())
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=3), st.floats(), st.lists(st.integers(), max_size=2)
)


@pytest.mark.parametrize("run", [EMPTY, pipeline(), full_run()], ids=["empty", "pipeline", "full"])
def test_nothing_is_lost_on_the_way(run, tmp_path):
    again = read(write(run, tmp_path))
    assert to_record(again) == to_record(run)
    assert render(again) == render(run)
    assert again.totals == run.totals
    assert again.calls == run.calls
    assert again.agents == run.agents


def test_a_file_that_is_no_record_is_refused_in_one_line(tmp_path):
    deep, endless = "[" * 100_000 + "]" * 100_000, '{"run": ' + "9" * 5_000 + "}"
    for body in ("{", "[]", '{"resourceSpans": []}', "null", deep, endless):
        file = tmp_path / "x.json"
        file.write_text(body)
        with pytest.raises(InputError) as caught:
            read(file)
        assert "x.json" in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="nowhere"):
        read(tmp_path / "nowhere.json")


def test_a_newer_schema_is_refused_and_says_so():
    record = {**to_record(pipeline()), "schema_version": 2}
    assert is_record(record)
    with pytest.raises(InputError, match="newer costspan"):
        from_record(record)


def test_fields_of_a_later_version_are_ignored_and_lacking_ones_are_unknown():
    record = json.loads(to_json(pipeline()))
    record["later"] = {"x": 1}
    record["calls"][0]["later"] = 1
    del record["calls"][0]["usage"]["input_tokens"]
    del record["efficiency"]
    run = from_record(record)
    assert run.calls[0].usage.input_tokens is None
    assert run.efficiency.max_agent is None
    assert run.totals.cost_usd == Decimal("0.013726")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("calls", 0, "duration_seconds"), 1e308),
        (("steps", 0, "duration_seconds"), 1e308),
        (("calls", 0, "usage", "input_tokens"), 10**400),
        (("calls", 0, "context_window_tokens"), 10**400),
        (("calls", 0, "retry_count"), 10**400),
        (("calls", 0, "fees", "web_search"), 10**400),
        (("totals", "calls"), 10**400),
        (("totals", "coverage", "share"), 10**400),
        (("totals", "cost", "amount_usd"), "1e9999"),
        (("calls", 0, "cost", "amount_usd"), "1e99999999999"),
        (("calls", 0, "cost", "amount_usd"), "1e-99999999999"),
        (("efficiency", "max_agent_tokens"), 10**400),
        (("efficiency", "average_tokens_per_agent"), 10**400),
    ],
    ids=lambda part: part[-1] if isinstance(part, tuple) else "",
)
def test_a_number_without_measure_is_unknown_and_stops_nobody(path, value):
    record = json.loads(to_json(full_run()))
    part = record
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    run = from_record(record)
    made_run(run.calls)
    assert render(run)
    assert page([run])
    assert len(to_json(run)) < 100_000


def test_a_duration_of_weeks_is_read_to_the_nanosecond():
    call = pipeline().calls[0]
    call = replace(call, ended_ns=call.started_ns + 4_326_644_590_486_039)
    assert from_record(to_record(made_run((call,)))).calls == (call,)


def damaged(part, path, value):
    """The record with the value at the end of a path of list places and key places replaced."""
    for step in path[:-1]:
        inner = list(part.values())[step % len(part)] if isinstance(part, dict) and part else part
        inner = inner[step % len(inner)] if isinstance(inner, list) and inner else inner
        if not isinstance(inner, dict) or not inner:
            break
        part = inner
    key = list(part)[path[-1] % len(part)]
    if key != "schema_version":
        part[key] = value


@given(st.lists(st.integers(0, 30), min_size=1, max_size=5), ODD)
def test_a_damaged_field_never_costs_more_than_itself(path, value):
    record = json.loads(to_json(full_run()))
    damaged(record, path, value)
    render(made_run(from_record(record).calls))
    render(from_record(record))
