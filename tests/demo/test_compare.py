"""The comparison finds every number that differs, and says nothing when none does."""

from __future__ import annotations

import dataclasses
from decimal import Decimal

import pytest

from costspan.demo import compare
from costspan.demo.provider_log import Entry
from costspan.records import AgentTotals, Run, ToolTotals, Totals, Usage
from costspan.report import run_json

USAGE = Usage(input_tokens=100, output_tokens=20, cache_read_tokens=64, reasoning_tokens=8)
OWN = Totals(calls=1, usage=USAGE, cost_usd=Decimal("0.01"))
RUN = Run(
    id="r",
    workflow="w",
    started_ns=1,
    ended_ns=2,
    outcome="ok",
    trace_ids=(),
    totals=OWN,
    agents=(AgentTotals("PM", OWN, OWN), AgentTotals("Idle", Totals(), Totals())),
    tools=(ToolTotals("look", calls=1, errors=1, result_tokens=0),),
)
LOG = [
    Entry(number=1, api="openai.chat", path="", agent="PM", status=429),
    Entry(number=2, api="openai.chat", path="", agent="PM", status=200, billed=True, usage=USAGE, tools_asked=("look",)),
]


def of_log(entries=LOG, errors=1):
    return compare.of_log(entries, price=lambda entry: Decimal("0.01"), errors={"look": errors})


def test_equal_numbers_have_no_difference():
    assert compare.differences(compare.of_run(RUN), of_log()) == []


def test_a_record_reads_as_the_run_that_it_was_written_from():
    assert compare.of_record(run_json.to_record(RUN)) == compare.of_run(RUN)


@pytest.mark.parametrize("name", compare.TOKENS.values())
def test_one_token_more_of_any_kind_is_found(name):
    usage = dataclasses.replace(USAGE, **{name: (getattr(USAGE, name) or 0) + 1})
    log = [dataclasses.replace(LOG[1], usage=usage)]
    found = compare.differences(compare.of_run(RUN), of_log(log))
    assert {difference.where for difference in found} == {"total", "agent PM"}


def test_a_tenth_of_a_billionth_of_a_dollar_is_found():
    other = compare.of_log(LOG, price=lambda entry: Decimal("0.0100000001"), errors={"look": 1})
    assert [difference.what for difference in compare.differences(compare.of_run(RUN), other)] == ["dollars", "dollars"]


def test_a_call_that_nobody_owns_is_a_difference():
    run = dataclasses.replace(RUN, agents=(), unattributed=OWN)
    found = {difference.where for difference in compare.differences(compare.of_run(run), of_log())}
    assert found == {"agent PM", "agent unattributed"}


def test_an_unknown_number_differs_from_a_known_one():
    run = dataclasses.replace(RUN, tools=(dataclasses.replace(RUN.tools[0], result_tokens=None),))
    log = [*LOG, dataclasses.replace(LOG[1], number=3, usage=Usage(0, 0), tools_asked=(), results=(("look", 5),))]
    found = [d for d in compare.differences(compare.of_run(run), of_log(log)) if d.what == "result tokens"]
    assert [str(difference) for difference in found] == ["tool look: result tokens unknown, the provider's log says 5"]


def test_a_tool_error_that_was_missed_is_a_difference():
    assert [str(d) for d in compare.differences(compare.of_run(RUN), of_log(errors=2))] == [
        "tool look: errors 1, the provider's log says 2"
    ]


def test_the_verdict_counts_calls_tokens_and_dollars():
    figures = compare.of_run(RUN)
    assert compare.verdict(figures, []).endswith("1 call, 120 tokens, $0.0100")


def test_the_verdict_names_each_difference():
    found = compare.differences(compare.of_run(RUN), of_log(errors=2))
    assert compare.verdict(compare.of_run(RUN), found).splitlines()[1].strip() == str(found[0])
