"""Attributes that are put on a span by the short way are those that the SDK's own way would have put there."""

from __future__ import annotations

import threading
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk import trace as sdk
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.trace import INVALID_SPAN

import costspan
from costspan.instrument import span_write
from costspan.testing import measure

NAMES = st.text("abc.", min_size=1, max_size=3)
TEXT = st.text("xé", max_size=12)
PLAIN = st.one_of(TEXT, st.integers(), st.floats(allow_nan=False), st.booleans(), st.tuples(TEXT))
ODD = st.one_of(st.none(), st.lists(TEXT, max_size=2), st.just(Decimal("1.5")), st.just(b"x"))
LIMITS = st.builds(
    SpanLimits,
    max_span_attributes=st.one_of(st.none(), st.integers(0, 6)),
    max_span_attribute_length=st.one_of(st.none(), st.integers(0, 6)),
)


def a_span(limits=None, begun_with=None):
    provider = TracerProvider(span_limits=limits, shutdown_on_exit=False)
    return provider.get_tracer("test").start_span("span", attributes=begun_with)


@given(LIMITS, st.dictionaries(NAMES, PLAIN, max_size=4), st.dictionaries(NAMES, st.one_of(PLAIN, ODD), max_size=5))
def test_a_span_holds_what_the_sdks_own_way_would_have_put_there(limits, begun_with, more):
    ours, theirs = a_span(limits, begun_with), a_span(limits, begun_with)
    span_write.write(ours, more, more)
    theirs.set_attributes(more)
    assert dict(ours.attributes) == dict(theirs.attributes)
    assert {name: type(value) for name, value in ours.attributes.items()} == {
        name: type(value) for name, value in theirs.attributes.items()
    }
    assert ours.dropped_attributes == theirs.dropped_attributes


def test_the_installed_sdk_takes_the_short_way():
    assert span_write._KNOWN is sdk._Span
    span = a_span()
    assert span_write._put(span, {"a": 1})


@pytest.mark.parametrize("built", ["no _dict", "no _lock", "keeps copies"])
def test_an_sdk_that_is_built_in_another_way_gets_attributes_its_own_way(built, monkeypatch):
    class Other(sdk._Span):
        def __getattribute__(self, name):
            found = super().__getattribute__(name)
            if name == "_attributes" and built != "no _lock":
                return type("Kept", (), {"max_value_len": None, "maxlen": None, **({} if built == "no _dict" else {"_dict": {}})})
            if name == "_lock" and built == "no _lock":
                raise AttributeError(name)
            return found

    monkeypatch.setattr(sdk, "_Span", Other)
    assert span_write._known() is None


def test_a_span_that_has_ended_is_left_alone(caplog):
    span = a_span(begun_with={"a": 1})
    span.end()
    span_write.write(span, {"a": 2, "b": 3})
    assert dict(span.attributes) == {"a": 1}
    assert "ended span" in caplog.text  # the SDK's own word on it


def test_a_span_that_is_not_recorded_takes_nothing_and_breaks_nothing():
    span_write.write(INVALID_SPAN, {"a": 1})
    assert not INVALID_SPAN.is_recording()


def test_threads_that_write_on_one_span_lose_nothing():
    span = a_span()
    threads = [
        threading.Thread(target=lambda n=n: [span_write.write(span, {f"{n}.{i}": i}) for i in range(20)]) for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(span.attributes) == 120


class Started(SpanProcessor):
    def __init__(self):
        self.seen = {}

    def on_start(self, span, parent_context=None):
        self.seen[span.name] = dict(span.attributes)


def test_what_a_sampler_may_decide_by_is_there_when_a_span_starts_and_the_rest_when_it_ends():
    started = Started()
    with measure() as seen:
        seen.handle.provider.add_span_processor(started)
        with costspan.run("report"), costspan.agent("writer"), costspan.tool("search"):
            costspan.record_call(model="gpt-4o", provider="openai", input_tokens=10, output_tokens=1)
    call = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
    assert started.seen["chat gpt-4o"] == call
    assert started.seen["invoke_agent writer"] == {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "writer"}
    ended = {span.name: span.attributes for span in seen.spans}
    assert call.items() <= ended["chat gpt-4o"].items()
    assert ended["chat gpt-4o"]["gen_ai.agent.name"] == "writer"
    assert ended["chat gpt-4o"]["costspan.tool"] == "search"
    assert len({span.attributes["costspan.run.id"] for span in seen.spans}) == 1


class Renames(SpanProcessor):
    """A program that hides a name on its way out."""

    def on_start(self, span, parent_context=None):
        if span.name.startswith("invoke_agent"):
            span.set_attribute("gen_ai.agent.name", "hidden")


def test_what_a_programs_own_processor_changes_at_the_start_stays_changed():
    with measure() as seen:
        seen.handle.provider.add_span_processor(Renames())
        with costspan.run("report"), costspan.agent("writer"):
            pass
    (agent,) = [span for span in seen.spans if span.name == "invoke_agent writer"]
    assert agent.attributes["gen_ai.agent.name"] == "hidden"


@pytest.mark.parametrize("name", [5, Decimal("1.5"), ("a", "b"), b"x"], ids=repr)
def test_whatever_a_program_names_things_by_is_exported_as_text(name):
    with measure() as seen, costspan.run("report"), costspan.agent(name), costspan.step(name):
        costspan.record_call(model="gpt-4o", provider="openai", input_tokens=10, output_tokens=1)
    assert {span.attributes.get("gen_ai.agent.name") for span in seen.spans} == {None, str(name)}
    assert seen.runs[0].agents[0].name == str(name)
