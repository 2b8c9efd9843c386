"""Tests that run inside another environment (see `environments.py`), shown here one by one.

PROGRAM = Path(__file__).with_name("crewai_inside.py")

@pytest.mark.parametrize("name", test_names(PROGRAM))
def test_inside(name): passes(run_once(PROGRAM, python_of("crewai", [...])), name)
"""

from __future__ import annotations

import ast
import functools
import os
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 420


def test_names(program: Path) -> list[str]:
    """The test functions that a file defines, in order."""
    found = ast.parse(program.read_text(encoding="utf-8")).body
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return [each.name for each in found if isinstance(each, kinds) and each.name.startswith("test_")]


test_names.__test__ = False  # type: ignore[attr-defined]


@functools.cache
def run_once(program: Path, python: Path) -> dict[str, str]:
    """Run a file's tests with another interpreter: test -> "" or why it failed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        words = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", str(program)]
        env = {**os.environ, "HOME": folder, "CREWAI_DISABLE_TELEMETRY": "true", "NO_COLOR": "1"}
        done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)
        if not report.exists():
            pytest.fail(f"{' '.join(words)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        outcomes: dict[str, str] = {}
        for case in ET.parse(report).getroot().iter("testcase"):
            name = case.get("name", "").partition("[")[0]
            why = "".join(child.text or child.get("message", "") for child in case if child.tag in {"failure", "error"})
            outcomes[name] = outcomes.get(name, "") + why
        return outcomes


def passes(outcomes: dict[str, str], name: str) -> None:
    """Fail with what the test inside said."""
    assert name in outcomes, f"{name} did not run; {outcomes}"
    if outcomes[name]:
        pytest.fail(outcomes[name], pytrace=False)
