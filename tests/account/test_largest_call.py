"""The gauge of an agent's largest call."""

from __future__ import annotations

from costspan import conventions as names
from costspan import records
from costspan.account.meters import Meters
from meter_cases import call, values

OTHER = records.Owner("flow", "writer")


def sized(tokens: int, **given):
    return call(usage=records.Usage(input_tokens=tokens, output_tokens=10), **given)


def test_it_is_input_and_output_of_the_largest_call_of_each_agent_over_all_models():
    meters = Meters()
    for one in (sized(100), sized(900, model="other"), sized(500), sized(50, owner=OTHER)):
        meters.call(one)
    assert values(meters, names.AGENT_CALL_TOKENS_MAX) == {("planner",): 910, ("writer",): 60}


def test_a_call_of_unknown_size_does_not_show():
    meters = Meters()
    meters.call(call(usage=records.NO_USAGE, cost=None))
    assert values(meters, names.AGENT_CALL_TOKENS_MAX) == {}
