"""The oldest CrewAI that is supported: the lower bound of the extra, with the OpenTelemetry and the OpenAI SDK that it pins."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments import TOOLS, python_of
from inside import passes, run_once, test_names

PROGRAM = Path(__file__).with_name("crewai_inside.py")
REQUIREMENTS = ["crewai==1.13.0", "anthropic", *TOOLS]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", test_names(PROGRAM))
def test_the_oldest_crewai(name):
    passes(run_once(PROGRAM, python_of("crewai_oldest", REQUIREMENTS)), name)
