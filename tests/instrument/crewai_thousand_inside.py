"""Run by test_crewai.py where CrewAI is installed, in a process of its own: it takes CrewAI 30 ms of CPU per kickoff."""

from __future__ import annotations

import shutil
import tempfile
import urllib.request
from pathlib import Path

import pytest

from costspan.testing import measure
from crewai_crews import paid_provider, pair  # noqa: F401 - a fixture

MEMORY = Path("/dev/shm")


@pytest.fixture(autouse=True)
def no_disk(monkeypatch):
    """CrewAI commits each task's output to SQLite twice: on a disk that takes longer than the kickoff itself."""
    place = tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None)
    monkeypatch.setenv("XDG_DATA_HOME", place)
    yield
    shutil.rmtree(place, ignore_errors=True)


@pytest.mark.timeout(400)
def test_a_thousand_kickoffs_with_different_topics_make_one_agent_label_and_no_topic_in_metrics(fake):
    crew = pair(fake, roles=("{topic} PM", "Dev"))
    crew.tasks = crew.tasks[:1]
    with measure(metrics="prometheus", metrics_port=0) as seen:
        for n in range(1000):
            crew.kickoff(inputs={"topic": f"secret-topic-{n}"})
        with urllib.request.urlopen(f"http://127.0.0.1:{seen.handle.roads[0].port}/metrics", timeout=10) as answer:
            page = answer.read().decode()
        assert seen.tokens(agent="{topic} PM") == seen.tokens() == 1200 * 1000
    lines = [line for line in page.splitlines() if not line.startswith("#")]
    agents = {line.partition('agent="')[2].partition('"')[0] for line in lines if 'agent="' in line}
    assert agents - {""} == {"{topic} PM"}
    assert "secret-topic" not in page
    assert len(seen.runs) == 1000
