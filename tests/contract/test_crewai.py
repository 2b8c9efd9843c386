"""A CrewAI program notices nothing of costspan, and no fault of costspan's reaches it; in an environment of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments import CREWAI, python_of
from inside import passes, run_once, test_names

PROGRAM = Path(__file__).with_name("crewai_contract_inside.py")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", test_names(PROGRAM))
def test_crewai(name):
    passes(run_once(PROGRAM, python_of("crewai", CREWAI)), name)
