"""CrewAI, in environments of its own: it pins other versions of OpenTelemetry and of the providers' SDKs."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments import CREWAI, TOOLS, python_of
from inside import passes, run_once, test_names

HERE = Path(__file__).parent
MAIN, UNHAPPY, THOUSAND, CONTRACT = (
    HERE / f"crewai_{name}.py" for name in ("inside", "unhappy_inside", "thousand_inside", "contract_inside")
)
OLDEST = ["crewai==1.13.0", "anthropic", *TOOLS]
"""The lower bound of the extra, with the versions of OpenTelemetry and of the OpenAI SDK that it pins."""


def cases(program):
    group = pytest.mark.xdist_group(program.stem)
    return [pytest.param(program, name, marks=group, id=f"{program.stem}-{name}") for name in test_names(program)]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("program", "name"), [*cases(MAIN), *cases(UNHAPPY), *cases(THOUSAND), *cases(CONTRACT)])
def test_crewai(program, name):
    passes(run_once(program, python_of("crewai", CREWAI)), name)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.xdist_group("crewai_oldest")
@pytest.mark.parametrize("name", test_names(MAIN))
def test_the_oldest_crewai(name):
    passes(run_once(MAIN, python_of("crewai_oldest", OLDEST)), name)


def test_there_are_scenarios_enough():
    assert len({*test_names(MAIN), *test_names(UNHAPPY)}) >= 25
