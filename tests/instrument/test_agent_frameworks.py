"""The OpenAI Agents SDK and Pydantic AI, in an environment of their own."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments import python_of
from inside import TOOLS, passes, run_once, test_names

PROGRAM = Path(__file__).with_name("agent_frameworks_inside.py")
REQUIREMENTS = ["openai-agents>=0.3", "pydantic-ai-slim[openai,anthropic]>=1.0", *TOOLS]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("agent_frameworks")
@pytest.mark.parametrize("name", test_names(PROGRAM))
def test_agent_frameworks(name):
    passes(run_once(PROGRAM, python_of("agent_frameworks", REQUIREMENTS)), name)
