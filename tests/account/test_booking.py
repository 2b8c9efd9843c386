from __future__ import annotations

from dataclasses import fields
from decimal import Decimal

import pytest

from costspan.account.booking import make_call
from costspan.price.book import PriceBook
from costspan.readings import Reading, SpanRecord
from costspan.records import Call, Owner, Usage, span_hex, trace_hex

TOLD = {
    "operation": "embeddings",
    "provider": "openai",
    "request_model": "gpt-5-mini",
    "response_model": "gpt-5-mini-2025-08-07",
    "response_id": "resp-1",
    "usage": Usage(10, 5),
    "stated_cost_usd": Decimal("0.25"),
    "outcome": "cancelled",
    "error_type": "CancelledError",
    "finish_reason": "stop",
    "stream": True,
    "time_to_first_token_seconds": 0.5,
    "service_tier": "flex",
    "batch": True,
    "fees": {"web_search": 2},
    "retry_count": 3,
    "waste": "retry",
    "metered": True,
    "conversation_id": "talk",
    "request_lengths": "lengths",
    "request_hash": "hash",
    "dialect": "a dialect",
    "estimator": "an estimator",
    "problems": ("odd",),
}


def test_everything_that_a_span_tells_arrives_in_the_field_of_its_name() -> None:
    record = SpanRecord(0xABC, 0xDEF, 0x123, "chat", "a scope", "1", 1_000, 3_000, {})
    owner = Owner("flow", "agent", "step", "tool")
    call = make_call(record, Reading(kind="call", **TOLD), owner, PriceBook())
    told = {name: value for name, value in TOLD.items() if name != "stated_cost_usd"}
    assert {name: getattr(call, name) for name in told} == told
    assert (call.id, call.trace_id, call.parent_id) == (f"{0xDEF:016x}", f"{0xABC:032x}", f"{0x123:016x}")
    assert (call.owner, call.scope, call.started_ns, call.ended_ns) == (owner, "a scope", 1_000, 3_000)
    assert (call.model, call.cost.amount_usd, call.unpriced) == ("gpt-5-mini", Decimal("0.25"), None)
    assert call.context_window_tokens == 400_000
    seen = {*told, "id", "trace_id", "parent_id", "owner", "scope", "started_ns", "ended_ns", "model", "cost", "unpriced"}
    rest = {field.name: getattr(call, field.name) for field in fields(Call) if field.name not in seen}
    assert rest == {
        "missing_reason": None, "refused": False, "cache_hit": False, "context_window_tokens": 400_000, "duplicates": (),
    }  # fmt: skip


def test_a_users_row_for_the_requested_model_prices_a_call_that_a_dated_snapshot_answers(tmp_path) -> None:
    path = tmp_path / "prices.json"
    path.write_text('[{"model": "gpt-5-mini", "input": 100, "output": 100}]', encoding="utf-8")
    record = SpanRecord(1, 2, 0, "chat", "a scope", "1", 1_795_000_000_000_000_000, 1_795_000_001_000_000_000, {})
    told = Reading(
        kind="call",
        provider="openai",
        request_model="gpt-5-mini",
        response_model="gpt-5-mini-2025-08-07",
        usage=Usage(900, 100),
        dialect="a dialect",
    )
    call = make_call(record, told, Owner(), PriceBook(path))
    assert call.cost is not None
    assert (call.cost.source, call.cost.amount_usd) == ("override", Decimal("0.1"))


@pytest.mark.parametrize("number", [0, 1, (1 << 64) - 1, 1 << 64, (1 << 128) - 1, 1 << 130, -1])
def test_ids_are_written_in_hex_whatever_their_size(number: int) -> None:
    assert (span_hex(number), trace_hex(number)) == (f"{number:016x}", f"{number:032x}")
