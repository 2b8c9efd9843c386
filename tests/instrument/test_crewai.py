"""CrewAI, in an environment of its own: it pins other versions of OpenTelemetry and of the providers' SDKs."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments import CREWAI, python_of
from inside import passes, run_once, test_names

HERE = Path(__file__).parent
PROGRAMS = [HERE / f"crewai_{name}.py" for name in ("inside", "unhappy_inside", "thousand_inside")]
CASES = [pytest.param(program, name, id=f"{program.stem}-{name}") for program in PROGRAMS for name in test_names(program)]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("program", "name"), CASES)
def test_crewai(program, name):
    passes(run_once(program, python_of("crewai", CREWAI)), name)


def test_there_are_scenarios_enough():
    assert len({*test_names(PROGRAMS[0]), *test_names(PROGRAMS[1])}) >= 25
