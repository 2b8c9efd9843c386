from __future__ import annotations

from decimal import Decimal

import pytest

from costspan.account.totals import total
from costspan.errors import UsageError
from costspan.records import NO_USAGE, Run, Usage
from costspan.report.check import Checked, Limits, check
from made_runs import made_call, made_run


def checked(limits: Limits, *runs: Run) -> Checked:
    return check(limits, runs, total(call for run in runs for call in run.calls))


def one(cost: str | None = "0.10", usage: Usage = Usage(10, 5)) -> Run:  # noqa: B008 - frozen
    return made_run((made_call("PM", usage, cost),))


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(cost_run=Decimal("0.10")), 0),
        (Limits(cost_run=Decimal("0.099")), 1),
        (Limits(tokens_run=15), 0),
        (Limits(tokens_run=14), 1),
        (Limits(calls_run=1), 0),
        (Limits(calls_run=0), 1),
        (Limits(coverage=1.0), 0),
        (Limits(context_percent=0.01), 0),
        (Limits(context_percent=0.005), 1),
    ],
)
def test_a_limit_is_kept_at_it_and_exceeded_beyond_it(limits, code):
    assert checked(limits, one()).code == code


def test_together_is_not_each():
    assert checked(Limits(cost_run=Decimal("0.15")), one(), one()).code == 0
    assert checked(Limits(cost=Decimal("0.15")), one(), one()).code == 1
    assert checked(Limits(tokens=29), one(), one()).code == 1


def test_an_unpriced_call_cannot_be_judged():
    found = checked(Limits(cost_run=Decimal(5)), one(cost=None))
    assert found.code == 3
    assert "without a price" in found.findings[0].line


def test_one_limit_exceeded_counts_more_than_one_that_cannot_be_judged():
    gap = made_run((made_call("PM", Usage(10, 5), "9"), made_call("PM", NO_USAGE, None, number=2)))
    assert checked(Limits(cost_run=Decimal(5), tokens_run=100), gap).code == 1


def test_no_calls_are_no_data():
    assert checked(Limits(cost=Decimal(1)), made_run(())).code == 3
    assert checked(Limits(cost=Decimal(1))).code == 3


def test_without_a_limit_it_is_used_wrongly():
    with pytest.raises(UsageError, match="--max-cost-run"):
        checked(Limits(), one())
