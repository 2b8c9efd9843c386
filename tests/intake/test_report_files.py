from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

import otlp_build as build
from costspan.errors import UsageError
from costspan.intake.report_files import Report, report_files
from costspan.price.book import PriceBook
from costspan.report.run_json import to_json, write
from made_runs import made_call, made_run

if TYPE_CHECKING:
    from pathlib import Path

    from costspan.records import Run

BOOK = PriceBook()


def reported(*paths: Path, by: tuple[str, ...] = ()) -> tuple[Report, list[Run]]:
    runs: list[Run] = []
    return report_files(paths, BOOK, runs.append, by=by), runs


def pipeline(trace: int = 1) -> dict:
    return build.request(
        build.workflow(1, "pipeline", trace=trace, seconds=100),
        build.agent(2, "PM", trace=trace, parent=1, seconds=10),
        build.chat(3, trace=trace, parent=2, at=1, tokens=(1000, 100)),
        build.agent(4, "Dev", trace=trace, parent=1, at=20, seconds=30),
        build.chat(5, trace=trace, parent=4, at=21, tokens=(2000, 200)),
        build.tool(6, "ask", trace=trace, parent=4, at=23, seconds=3),
        build.chat(7, trace=trace, parent=6, at=24, tokens=(400, 40), model="claude-sonnet-4-5", provider="anthropic"),
    )


def test_groups_add_up_to_the_totals(tmp_path: Path) -> None:
    path = build.save(tmp_path / "a.json", build.to_json(pipeline()))
    report, (run,) = reported(path, by=("agent", "model", "tool", "day"))
    assert report.totals == run.totals
    assert report.totals.usage.input_tokens == 3400
    assert sum(group.totals.calls for group in report.groups) == 3
    assert sum((group.totals.cost_usd or Decimal(0)) for group in report.groups) == report.totals.cost_usd
    assert {group.key for group in report.groups} == {
        ("PM", "gpt-5-mini", None, "2026-11-21"),
        ("Dev", "gpt-5-mini", None, "2026-11-21"),
        ("Dev", "claude-sonnet-4-5", "ask", "2026-11-21"),
    }


def test_calls_outside_any_run_count_and_are_told_apart(tmp_path: Path) -> None:
    request = build.request(build.chat(1, trace=9, tokens=(10, 1)))
    paths = [build.save(tmp_path / "a", build.to_json(pipeline())), build.save(tmp_path / "b", build.to_json(request))]
    report, runs = reported(*paths)
    assert (report.totals.calls, report.lone.calls, len(runs)) == (4, 1, 1)
    assert report.lone.usage.input_tokens == 10


def test_a_run_record_counts_as_its_run(tmp_path: Path) -> None:
    trace = build.save(tmp_path / "a.json", build.to_json(pipeline()))
    spans, (run,) = reported(trace, by=("agent", "model", "tool", "day"))
    record = build.save(tmp_path / "run.json", to_json(run).encode())
    report, (again,) = reported(record, by=("agent", "model", "tool", "day"))
    assert again.totals == run.totals
    assert report.totals == spans.totals
    assert report.groups == spans.groups
    both, runs = reported(trace, record, record)
    assert (len(runs), both.totals) == (1, run.totals)
    assert "counted once" in both.notes[0]


def test_two_runs_of_one_trace_are_two_records(tmp_path: Path) -> None:
    runs = [made_run((made_call(agent, number=number),), id=agent) for number, agent in enumerate(("first", "second"))]
    records = [write(run, tmp_path) for run in runs]
    again = write(replace(runs[0], id="the first under another id"), tmp_path)
    found, shown = reported(*records, again)
    assert [run.id for run in shown] == ["first", "second"]
    assert (found.totals.calls, found.totals.usage.total_tokens) == (2, 30)
    assert "counted once" in found.notes[0]


def test_a_record_without_its_calls_is_left_out_and_told_of(tmp_path: Path) -> None:
    _, (run,) = reported(build.save(tmp_path / "a.json", build.to_json(pipeline())))
    record = json.loads(to_json(run)) | {"calls": []}
    report, runs = reported(build.save(tmp_path / "run.json", build.to_json(record)))
    assert runs == []
    assert report.partial


def test_two_roots_with_one_trace_id_are_both_counted(tmp_path: Path) -> None:
    request = build.request(
        build.agent(1, "A"), build.chat(2, parent=1), build.agent(3, "B", at=50), build.chat(4, parent=3, at=50)
    )
    report, runs = reported(build.save(tmp_path / "a", build.to_json(request)))
    assert report.totals.calls == 2
    assert sum(run.totals.calls for run in runs) == 2
    assert {agent.name for run in runs for agent in run.agents} == {"A", "B"}


def test_a_cycle_of_parents_is_counted_once_and_called_partial(tmp_path: Path) -> None:
    request = build.request(
        build.agent(1, "A", parent=3), build.agent(2, "B", parent=1), build.agent(3, "C", parent=2), build.chat(4, parent=3)
    )
    report, _ = reported(build.save(tmp_path / "a.json", build.to_json(request)))
    assert report.totals.calls == 1
    assert report.partial
    (problem,) = report.problems
    assert "own ancestor" in str(problem)


def test_a_hundred_thousand_spans_in_one_trace(tmp_path: Path) -> None:
    spans = [build.agent(1, "A", seconds=200_000)]
    spans += [build.span(n, parent=n - 1, at=n) for n in range(2, 50_001)]  # a chain as deep as it is long
    spans += [build.chat(n, parent=1, at=n, tokens=(1, 1)) for n in range(50_001, 100_001)]
    report, (run,) = reported(build.save(tmp_path / "a.json", build.to_json(build.request(*spans))))
    assert report.spans == 100_000
    assert run.totals.usage.total_tokens == 100_000
    assert not report.problems


def test_an_unknown_group_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    path = build.save(tmp_path / "a", build.to_json(pipeline()))
    with pytest.raises(UsageError, match="agent, model, tool, day"):
        reported(path, by=("agnet",))


def test_a_model_call_of_any_time_has_a_day_or_none(tmp_path: Path) -> None:
    request = build.request(
        build.chat(1, startTimeUnixNano="0", endTimeUnixNano="0"),
        build.chat(2, trace=2, startTimeUnixNano=str(2**64 - 1), endTimeUnixNano=str(2**64 - 1)),
    )
    report, _ = reported(build.save(tmp_path / "a", build.to_json(request)), by=("day",))
    assert report.totals.calls == 2
    assert None in {group.key[0] for group in report.groups}


def test_oddities_of_several_traces_are_summed_in_the_words_for_several(tmp_path: Path) -> None:
    paths = [
        build.save(
            tmp_path / f"{trace}.json", build.to_json(build.request(*(build.chat(n, trace=trace, parent=99) for n in calls)))
        )
        for trace, calls in ((1, (1,)), (2, (2, 3)))
    ]
    assert reported(*paths)[0].notes == ("3 spans name parents that are not here: their owners may be incomplete",)
    assert reported(paths[0])[0].notes == ("1 span names a parent that is not here: its owner may be incomplete",)
