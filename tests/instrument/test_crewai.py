"""CrewAI, in an environment of its own: it pins other versions of OpenTelemetry and of the providers' SDKs."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments import python_of
from inside import TOOLS, passes, run_once, test_names

PROGRAM = Path(__file__).with_name("crewai_inside.py")
REQUIREMENTS = ["crewai>=1.15,<1.16", "anthropic", *TOOLS]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("crewai")
@pytest.mark.parametrize("name", test_names(PROGRAM))
def test_crewai(name):
    passes(run_once(PROGRAM, python_of("crewai", REQUIREMENTS)), name)
