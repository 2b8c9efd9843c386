from __future__ import annotations

from costspan.records import Coverage, Usage
from costspan.report.marks import call_cost, call_tokens, counted, priced
from made_runs import made_call


def test_what_was_refused_used_nothing_and_costs_nothing_and_what_is_missing_is_unknown():
    refused, both, missing = Coverage(2, 0, 0, 0, 2, 0, None), Coverage(2, 0, 0, 1, 1, 0, 0.0), Coverage(1, 0, 0, 1, 0, 0, 0.0)
    assert (counted(None, refused), priced(None, refused)) == ("0", "$0")
    assert [(counted(None, known), priced(None, known)) for known in (both, missing)] == [("?", "unknown")] * 2
    calls = [made_call(usage=Usage(), cost=None, refused=refused) for refused in (True, False)]
    assert [(call_tokens(call, None), call_cost(call)) for call in calls] == [("0", "$0"), ("?", "unknown")]
