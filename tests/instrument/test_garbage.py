"""What has ended leaves no rings of objects behind: a host's garbage collector has nothing to do because of costspan."""

from __future__ import annotations

import gc

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool

import costspan


@tool
def look_up(query: str) -> str:
    """Look something up."""
    return "found"


def by_hand():
    with costspan.run("report"), costspan.agent("writer"), costspan.step("draft"), costspan.tool("search"):
        costspan.record_call(model="gpt-4o", provider="openai", input_tokens=10, output_tokens=1)


def by_langchain():
    def work(text):
        look_up.invoke({"query": text})
        return FakeListChatModel(responses=["hi"]).invoke(text).content

    RunnableLambda(work).with_config(run_name="writer", metadata={"agent_name": "writer"}).invoke("x")


def garbage(work):
    for _ in range(5):
        work()
    gc.collect()
    gc.disable()
    try:
        for _ in range(20):
            work()
        return gc.collect() / 20
    finally:
        gc.enable()


@pytest.mark.parametrize("work", [by_hand, by_langchain])
def test_an_ended_run_leaves_nothing_to_the_collector(work, seen):
    measured = garbage(work)
    assert len(seen.runs) == 25
    costspan.disable()
    assert measured <= garbage(work)
