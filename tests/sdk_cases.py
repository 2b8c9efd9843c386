"""What the tests of the provider SDKs share: the comparison with the provider's own log, and a few awkward hosts."""

from __future__ import annotations

import gc

import pytest


def hello(agent="PM", text="hello"):
    """Messages that name who asks, for the provider's log."""
    return [{"role": "user", "content": f"[[agent:{agent}]] {text}"}]


def balanced(seen, provider):
    """Tokens equal what the provider told; each billed request that it did not tell all of is counted as unreported.

    Nothing is still open, and nobody's context is left behind.
    """
    from opentelemetry import trace

    log = provider.log
    told = [entry.told_usage for entry in log if entry.told_usage is not None]
    assert seen.tokens("input") == sum(usage.input_tokens or 0 for usage in told)
    # The output at the start of an Anthropic stream is a placeholder: of a stream that is cut nobody knows it.
    assert seen.tokens("output") == sum(entry.told_usage.output_tokens or 0 for entry in log if entry.told)
    assert seen.metric("costspan_unreported_calls_total") == sum(entry.billed and not entry.told for entry in log)
    assert not open_units()
    assert not trace.get_current_span().get_span_context().is_valid
    if any(entry.told for entry in log):
        assert seen.metric("costspan_cost_usd_total") > 0


def open_units():
    from costspan.instrument.spans import SWITCH

    return [] if SWITCH.spans is None else SWITCH.spans.open_units()


def calls(seen):
    """The attributes of each call's span, in the order in which they ended."""
    return [span.attributes for span in seen.spans if span.attributes.get("costspan.kind") == "call"]


def only_call(seen):
    (call,) = calls(seen)
    return call


def collect():
    """What is dropped in cycles is dropped now."""
    for _ in range(3):
        gc.collect()


def needs(holder, name):
    """Skip a test of what an old version of an SDK does not have."""
    return pytest.mark.skipif(not hasattr(holder, name), reason=f"this version of the SDK has no {name}")
