"""The real clients with other people's instrumentations switched on beside costspan: totals equal the provider's log."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from environments import python_of

PROGRAM = Path(__file__).with_name("live_layers.py")
REQUIREMENTS = [
    "openinference-instrumentation-langchain",
    "openinference-instrumentation-openai",
    "openinference-instrumentation-anthropic",
    "opentelemetry-instrumentation-langchain",
    "opentelemetry-instrumentation-openai",
    "opentelemetry-instrumentation-anthropic",
    "opentelemetry-instrumentation-genai-langchain",
    "opentelemetry-instrumentation-genai-openai",
    "opentelemetry-instrumentation-genai-anthropic",
]
OURS_BESIDE = [
    (),
    ("openinference-langchain", "openinference-openai", "openinference-anthropic"),
    ("openllmetry-langchain", "openllmetry-openai", "openllmetry-anthropic"),
    ("official-langchain", "official-openai", "official-anthropic"),
    ("openinference-langchain", "openllmetry-langchain", "official-openai", "official-anthropic"),
]


def run(*words):
    python = python_of("layers", REQUIREMENTS, extra="demo")
    done = subprocess.run(
        [str(python), "-W", "ignore", str(PROGRAM), *words], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("others", OURS_BESIDE, ids=lambda others: "+".join(others) or "alone")
def test_our_hooks_beside_others_count_every_call_once(others):
    found = run("ours", *others)
    for each in ("calls", "input", "output"):
        assert found[each][0] == found[each][1], found
    assert found["agents"] == found["log_agents"]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "others",
    [
        ("openinference-langchain", "openinference-openai", "openinference-anthropic"),
        ("openllmetry-langchain", "openllmetry-openai", "openllmetry-anthropic"),
        ("official-langchain", "official-openai", "official-anthropic"),
    ],
    ids=lambda others: others[0],
)
def test_without_our_hooks_others_spans_give_the_same_totals(others):
    found = run("none", *others)
    for each in ("calls", "input", "output"):
        assert found[each][0] == found[each][1], found
