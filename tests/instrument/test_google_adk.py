"""Google ADK, in an environment of its own: it brings FastAPI and other versions of OpenTelemetry."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments import TOOLS, python_of
from inside import passes, run_once, test_names

PROGRAM = Path(__file__).with_name("google_adk_inside.py")
REQUIREMENTS = ["google-adk>=2.9", "anthropic", *TOOLS]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", test_names(PROGRAM))
def test_google_adk(name):
    passes(run_once(PROGRAM, python_of("google_adk", REQUIREMENTS)), name)
