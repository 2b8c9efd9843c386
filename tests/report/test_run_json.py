"""The record is valid against its schema, the schema knows every field, and the file appears whole or not at all."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from dataclasses import fields, replace
from decimal import Decimal

import pytest
from jsonschema import Draft202012Validator

from costspan import records
from costspan.errors import SettingsError
from costspan.records import NO_USAGE, Cost, Run, Totals
from costspan.report.run_json import file_name, schema, to_json, to_record, write
from made_runs import full_run, made_call, made_run, pipeline


def closed(part: object) -> object:
    """The schema with every object closed: a field that it does not know is an error."""
    if isinstance(part, dict):
        part = {key: closed(value) for key, value in part.items()}
        if "properties" in part and isinstance(part["properties"], dict) and part.get("type") == "object":
            part.setdefault("additionalProperties", False)
    elif isinstance(part, list):
        part = [closed(value) for value in part]
    return part


EMPTY = Run("r", None, 0, 0, "ok", (), Totals())


@pytest.mark.parametrize("run", [EMPTY, pipeline(), full_run()], ids=["empty", "pipeline", "full"])
def test_every_record_is_valid_and_has_no_field_that_the_schema_does_not_know(run):
    Draft202012Validator.check_schema(schema())
    record = json.loads(to_json(run))
    assert record == to_record(run)
    for known in (schema(), closed(schema())):
        assert [error.message for error in Draft202012Validator(known).iter_errors(record)] == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda record: record.update(schema_version=2),
        lambda record: record["totals"]["cost"].update(amount_usd=0.5),
        lambda record: record["calls"][0]["usage"].update(input_tokens=-1),
        lambda record: record["run"].pop("outcome"),
        lambda record: record["metadata"]["token_usage"].pop("total_tokens"),
        lambda record: record["run"].update(started_at="2026-99-99T99:99:99.000000000Z"),
        lambda record: record["totals"]["cost"].update(amount_usd=None),
        lambda record: record["totals"]["cost"].update(source="unknown"),
        lambda record: record["totals"]["cost"].update(by_source={}),
        lambda record: record["calls"][0]["cost"].update(amount_usd=None, by_source={}, source="unknown"),
        lambda record: record["calls"][0]["usage"].update(total_tokens=None),
        lambda record: record["calls"][1]["usage"].update(total_tokens=0),
        lambda record: record["efficiency"].update(max_agent=None),
        lambda record: record["efficiency"].update(max_agent_tokens=None),
    ],
)
def test_the_schema_refuses_what_is_no_record(damage):
    record = deepcopy(to_record(full_run()))
    damage(record)
    assert not Draft202012Validator(schema()).is_valid(record)


def test_every_field_of_a_call_is_in_the_record():
    elsewhere = {
        "owner": {"workflow", "agent", "step", "tool"},
        "started_ns": {"started_at"},
        "ended_ns": {"duration_seconds"},
        "metered": set(),  # how the process publishes, nothing of the call
        "request_lengths": set(),  # means for the tool bill
        "request_hash": set(),
    }
    written = set(to_record(full_run())["calls"][0])
    for field in fields(records.Call):
        assert elsewhere.get(field.name, {field.name}) <= written, field.name


def test_the_pipeline_under_the_older_shape():
    usage = to_record(pipeline())["metadata"]["token_usage"]
    assert (usage["total_input_tokens"], usage["total_output_tokens"], usage["total_tokens"]) == (5469, 8257, 13726)
    assert usage["efficiency_metrics"] == {
        "average_tokens_per_agent": 4575.33,
        "max_agent_tokens": 6912,
        "estimated_context_window_usage_percent": 3.46,
        "input_output_ratio": 0.662,
    }
    assert usage["agents"][0] == {
        "agent_name": "PM",
        "usage": {"input_tokens": 1234, "output_tokens": 2456, "total_tokens": 3690, "estimated_cost_usd": 0.00369},
    }
    assert usage["cost_breakdown"] == {"PM": 0.00369, "Dev": 0.006912, "QA": 0.003124}
    assert usage["estimated_total_cost_usd"] == 0.013726


def test_money_is_exact_and_unknown_money_is_null():
    call = made_call(cost="0.000000000000000000000000000001")
    record = to_record(made_run((call, made_call("QA", NO_USAGE, None, number=2))))
    assert record["totals"]["cost"]["amount_usd"] == "0.000000000000000000000000000001"
    assert record["calls"][1]["cost"] == {
        "amount_usd": None,
        "by_cost_type": {},
        "source": "unknown",
        "by_source": {},
        "price_refs": [],
    }
    assert record["agents"][1]["self"]["cost"]["amount_usd"] is None
    assert record["metadata"]["token_usage"]["cost_breakdown"]["QA"] is None


def test_a_sum_over_two_price_sources_says_mixed_and_has_both():
    stated = replace(
        made_call(number=2), cost=Cost(Decimal("0.5"), {"unsplit": Decimal("0.5")}, "provider", "openrouter/x@stated")
    )
    cost = to_record(made_run((made_call(), stated)))["totals"]["cost"]
    assert (cost["source"], cost["by_source"]) == ("mixed", {"provider": "0.5", "table": "0.001"})


def test_what_has_no_times_has_no_duration():
    calls = to_record(full_run())["calls"]
    assert (calls[0]["duration_seconds"], calls[3]["started_at"], calls[3]["duration_seconds"]) == (1.0, None, None)
    assert to_record(full_run())["steps"][3]["duration_seconds"] is None


def test_numbers_that_json_does_not_have_are_null():
    call = replace(made_call(), time_to_first_token_seconds=float("nan"))
    assert to_record(made_run((call,)))["calls"][0]["time_to_first_token_seconds"] is None
    to_json(made_run((call,)))


def test_times_are_utc_to_the_nanosecond():
    run = replace(pipeline(), started_ns=1_795_262_400_123_456_789)
    assert to_record(run)["run"]["started_at"] == "2026-11-21T12:00:00.123456789Z"


def test_write_makes_the_folder_and_leaves_one_file(tmp_path):
    path = write(pipeline(), tmp_path / "a" / "b")
    assert json.loads(path.read_text(encoding="utf-8")) == to_record(pipeline())
    assert write(pipeline(), tmp_path / "a" / "b") == path
    assert list((tmp_path / "a" / "b").iterdir()) == [path]
    assert path.name == "20261121T120000Z_demo_run-1.json"


def test_a_hostile_name_stays_in_the_folder_and_the_file_is_valid(tmp_path):
    run = replace(pipeline(), id="../../etc/passwd", workflow="a/b\x00\ud800\n" + "x" * 500)
    path = write(run, tmp_path)
    assert path.parent == tmp_path
    assert len(path.name) < 200
    assert json.loads(path.read_bytes())["run"]["workflow"] == run.workflow
    assert file_name(replace(run, id="../../etc/passwx")) != path.name


def test_an_unwritable_folder_is_one_clear_line_and_leaves_nothing(tmp_path):
    taken = tmp_path / "file"
    taken.write_text("not a folder")
    with pytest.raises(SettingsError) as caught:
        write(pipeline(), taken)
    message = str(caught.value)
    assert re.search(r"run record could not be written to .*file.*COSTSPAN_RECORD_DIR", message)
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == [taken]


def test_a_failed_replace_leaves_no_draft_behind(tmp_path):
    (tmp_path / file_name(pipeline())).mkdir()
    (tmp_path / file_name(pipeline()) / "in the way").write_text("")
    with pytest.raises(SettingsError):
        write(pipeline(), tmp_path)
    assert [left.name for left in tmp_path.iterdir()] == [file_name(pipeline())]
