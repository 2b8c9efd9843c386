from __future__ import annotations

import pytest

from costspan.account.totals import total
from costspan.intake.report_tables import sentence
from costspan.records import ESTIMATED, NO_USAGE, Coverage, Totals, Usage
from costspan.report.figures import percent, ratio, seconds, tokens
from costspan.report.marks import call_cost, call_tokens, counted, known_cost, known_tokens, priced, stated_cost, together
from made_runs import made_call


def test_what_was_refused_used_nothing_and_costs_nothing_and_what_is_missing_is_unknown():
    refused, both, missing = Coverage(2, 0, 0, 0, 2, 0, None), Coverage(2, 0, 0, 1, 1, 0, 0.0), Coverage(1, 0, 0, 1, 0, 0, 0.0)
    assert (counted(None, refused), priced(None, refused)) == ("0", "$0")
    assert [(counted(None, known), priced(None, known)) for known in (both, missing)] == [("?", "unknown")] * 2
    calls = [made_call(usage=Usage(), cost=None, refused=refused) for refused in (True, False)]
    assert [(call_tokens(call, None), call_cost(call)) for call in calls] == [("0", "$0"), ("?", "unknown")]


def test_a_sentence_says_of_a_sum_that_was_refused_that_it_cost_nothing():
    refused = total([made_call(usage=NO_USAGE, cost=None, refused=True)])
    assert sentence(refused) == "1 call, 0 input + 0 output tokens, $0, none of them billed"
    both = total([made_call(), made_call(usage=NO_USAGE, cost=None)])
    assert sentence(both) == "2 calls, 10+? input + 5+? output tokens, $0.0010+?, 50 % reported and priced"
    assert stated_cost(total([made_call(cost=None)])) == "cost unknown"


@pytest.mark.parametrize(
    ("shown", "nothing", "little", "enough"),
    [
        (percent, "0.00 %", "<0.01 %", "0.01 %"),
        (ratio, "0.000", "<0.001", "0.005"),
        (seconds, "0 ms", "<1 ms", "5 ms"),
        (lambda value: tokens(value, 2), "0.00", "<0.01", "0.01"),
    ],
)
def test_what_is_more_than_nothing_is_never_shown_as_nothing(shown, nothing, little, enough):
    assert (shown(0), shown(0.00001), shown(0.0051)) == (nothing, little, enough)


def test_sums_put_together_are_the_sum_of_all_their_calls():
    silent, guessed = made_call(usage=NO_USAGE, cost=None), made_call(usage=Usage(7, 2, source=ESTIMATED))
    refused = made_call(usage=NO_USAGE, cost=None, refused=True)
    for calls in ((made_call(), silent), (made_call(), guessed, refused), (refused,), (silent,), ()):
        whole, parts = total(calls), together(total([call]) for call in calls)
        assert (known_tokens(parts), known_cost(parts)) == (known_tokens(whole), known_cost(whole))
    assert known_tokens(together([Totals(), Totals()])) == "0"


def test_no_calls_have_used_no_tokens_and_cost_nothing():
    assert (known_tokens(Totals()), known_cost(Totals())) == ("0", "$0")
    assert (counted(None, Coverage()), priced(None, Coverage())) == ("0", "$0")  # the history's sums, without `Totals`
    assert known_cost(Totals(calls=2)) == "unknown"
