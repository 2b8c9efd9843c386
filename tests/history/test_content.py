"""What people and models wrote never reaches the disk; what counts and classifies does."""

from __future__ import annotations

import pytest

from costspan.history.content import is_content, kept, kept_events


@pytest.mark.parametrize(
    "name",
    [
        "input.value",
        "output.value",
        "llm.input_messages.0.message.content",
        "gen_ai.prompt.0.content",
        "gen_ai.completion",
        "gen_ai.system_instructions",
        "traceloop.entity.output",
        "mlflow.spanInputs",
        "ai.prompt.messages",
        "tool.parameters",
        "request_data",
        "langfuse.observation.input",
        "ai.toolCall.args",
        "retrieval.documents.0.document.content",
        "db.query.text",
        "logfire.msg",
        "tool.description",
        "all_messages_events",
        "final_result",
    ],
)
def test_texts_of_people_are_left_out(name):
    assert is_content(name)
    assert kept({name: "secret"}) == {}


@pytest.mark.parametrize(
    "name",
    [
        "gen_ai.request.model",
        "gen_ai.response.id",
        "gen_ai.system",
        "gen_ai.output.type",
        "gen_ai.usage.input_tokens",
        "llm.token_count.prompt",
        "gen_ai.response.finish_reasons",
        "http.request.method",
        "service.name",
        "error.type",
        "costspan.request.lengths",
        "gen_ai.agent.name",
        "input.mime_type",
        "exception.message",
        "server.address",
        "langgraph_node",
    ],
)
def test_what_tells_of_the_call_is_kept(name):
    assert kept({name: "x"}) == {name: "x"}


def test_numbers_are_kept_and_long_texts_cut():
    found = kept({"prompt": 5, "ok": True, "gen_ai.tool.name": "x" * 2000, "list": list(range(900))})
    assert found["prompt"] == 5
    assert found["gen_ai.tool.name"] == "x" * 512 + "... (2,000 characters)"
    assert "characters" in found["list"]


def test_events_lose_their_texts_and_stack_traces():
    event = ("exception", 5, {"exception.type": "ValueError", "exception.stacktrace": "File ...", "content": "secret"})
    assert kept_events([event] * 40) == [("exception", 5, {"exception.type": "ValueError"})] * 32
