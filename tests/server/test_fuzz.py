"""The receiver against Atheris, for some seconds; `python tests/fuzz_otlp.py 600` goes on for longer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from environments import python_of

TESTS = Path(__file__).parents[1]


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_whatever_is_sent_is_taken_or_refused():
    python = python_of("atheris", ["atheris"], extra="server")
    words = [str(python), str(TESTS / "fuzz_otlp.py"), "8"]
    env = {**os.environ, "PYTHONPATH": str(TESTS)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "stat::number_of_executed_units" in done.stderr
