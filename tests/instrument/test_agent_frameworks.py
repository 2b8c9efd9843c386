"""The OpenAI Agents SDK and Pydantic AI, in an environment of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments import TOOLS, python_of
from inside import passes, run_once, test_names

HERE = Path(__file__).parent
PROGRAMS = [HERE / f"{name}_inside.py" for name in ("agent_frameworks", "openai_agents", "pydantic_ai")]
REQUIREMENTS = ["openai-agents>=0.3", "pydantic-ai-slim[openai,anthropic]>=1.0", *TOOLS]


def cases():
    for program in PROGRAMS:
        for name in test_names(program):
            yield pytest.param(program, name, id=f"{program.stem}-{name}")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("program", "name"), cases())
def test_agent_frameworks(program, name):
    passes(run_once(program, python_of("agent_frameworks", REQUIREMENTS)), name)
