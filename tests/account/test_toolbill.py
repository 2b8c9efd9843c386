from __future__ import annotations

from decimal import Decimal

from account_cases import PRICE, Trace, make
from costspan.account.assemble import assemble
from costspan.account.toolbill import results, tail_cost
from costspan.normalise.request_lengths import encode
from costspan.records import Call, Cost, Owner, Usage

SYSTEM = ("system", "s", 40, "")
HUMAN = ("human", "h", 20, "")
ASKS = ("ai", "a", 10, "")
TOOLS = {"c1": "search", "c2": "read"}


def call(messages: list[tuple[str, str, int, str]], input_tokens: int, output_tokens: int = 10, **more: object) -> Call:
    told = {"owner": Owner(agent="Dev"), **more}
    usage = told.pop("usage", Usage(input_tokens, output_tokens))
    return Call(id="1", trace_id="2", provider="p", model="m", usage=usage, request_lengths=encode(messages), **told)


def tokens(calls: list[Call], tools: dict[str, str] = TOOLS) -> dict[str, int | None]:
    return {name: bill.tokens for name, bill in results(calls, tools).items()}


def test_a_tools_result_is_the_growth_of_the_input_less_the_answer_that_asked_for_it() -> None:
    first = call([SYSTEM, HUMAN], 100, 30)
    second = call([SYSTEM, HUMAN, ASKS, ("tool", "t", 400, "c1")], 530)
    assert tokens([first, second]) == {"search": 400}


def test_reasoning_does_not_come_back_as_input() -> None:
    first = call([SYSTEM, HUMAN], 100, usage=Usage(100, 30, reasoning_tokens=20))
    assert tokens([first, call([SYSTEM, HUMAN, ASKS, ("tool", "t", 400, "c1")], 510)]) == {"search": 400}


def test_several_answers_share_the_growth_by_length_in_whole_tokens() -> None:
    first = call([SYSTEM, HUMAN], 100, 10)
    second = call([SYSTEM, HUMAN, ASKS, ("tool", "t", 300, "c1"), ("tool", "u", 100, "c2")], 511)
    assert tokens([first, second]) == {"search": 300, "read": 101}


def test_what_a_person_added_is_not_the_tools() -> None:
    first = call([SYSTEM, HUMAN], 100, 10)
    second = call([SYSTEM, HUMAN, ASKS, ("tool", "t", 300, "c1"), ("human", "x", 300, "")], 710)
    assert tokens([first, second]) == {"search": 300}


def test_an_answer_is_a_result_once_and_carried_ever_after() -> None:
    answer = ("tool", "t", 400, "c1")
    calls = [
        call([SYSTEM, HUMAN], 100, 30),
        call([SYSTEM, HUMAN, ASKS, answer], 530, 20),
        call([SYSTEM, HUMAN, ASKS, answer, ("ai", "b", 9, ""), ("human", "i", 9, "")], 560),
        call([("system", "z", 5, ""), answer], 405, owner=Owner(agent="QA")),
    ]
    assert tokens(calls) == {"search": 400}


def test_a_rewritten_conversation_is_split_by_lengths() -> None:
    first = call([SYSTEM, HUMAN], 100, 30)
    second = call([("system", "new", 100, ""), ("tool", "t", 300, "c1")], 200)
    assert tokens([first, second]) == {"search": 150}


def test_parallel_conversations_of_one_agent_are_told_apart() -> None:
    other = ("human", "other", 20, "")
    calls = [
        call([SYSTEM, HUMAN], 100, 30),
        call([SYSTEM, other], 5_000, 30),
        call([SYSTEM, HUMAN, ASKS, ("tool", "t", 400, "c1")], 530),
        call([SYSTEM, other, ASKS, ("tool", "u", 400, "c2")], 5_100),
    ]
    assert tokens(calls) == {"search": 400, "read": 70}


def test_calls_without_lengths_tell_nothing() -> None:
    blind = Call(id="1", trace_id="2", provider="p", model="m", usage=Usage(100, 20))
    assert tokens([blind, blind]) == {}


def test_new_input_is_priced_as_the_end_of_the_prompt_was_billed() -> None:
    usage = Usage(1000, 10, cache_read_tokens=700, cache_write_tokens=200)
    parts = {"input_uncached": Decimal("0.10"), "input_cache_write": Decimal("0.40"), "input_cache_read": Decimal("0.07")}
    cost = Cost(Decimal("0.57"), parts, "table", "r")
    assert tail_cost(50, usage, cost) == Decimal("0.05")
    assert tail_cost(150, usage, cost) == Decimal("0.2")
    assert tail_cost(1000, usage, cost) == Decimal("0.57")
    assert tail_cost(50, usage, None) is None
    assert tail_cost(50, usage, Cost(Decimal(1), {"unsplit": Decimal(1)}, "provider", "")) is None


def test_the_bill_of_a_run_stands_beside_its_tools() -> None:
    trace = Trace()
    dev = trace.agent("Dev", 0, 100)
    trace.call(0, 10, (100, 30), parent=dev, request_lengths=encode([SYSTEM, HUMAN]))
    tool = trace.tool("search", 10, 50, parent=dev, tool_call_id="c1")
    trace.call(11, 40, (7, 3), parent=tool)
    trace.tool("read", 10, 50, parent=dev, tool_call_id="c2")
    last = encode([SYSTEM, HUMAN, ASKS, ("tool", "t", 400, "c1")])
    trace.call(60, 70, (530, 5), parent=dev, request_lengths=last)
    (run,) = assemble(trace.spans, make=make).runs
    search, read = run.tools
    assert (search.nested.usage.total_tokens, search.nested.cost_usd, search.result_tokens) == (10, PRICE * 10, 400)
    assert search.tokens_per_call == 410
    assert (read.result_tokens, read.tokens_per_call) == (None, None)
