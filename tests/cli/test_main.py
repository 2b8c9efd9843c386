"""The entry point: what becomes of errors that are nobody's fault."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from costspan.cli import build

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("words", [["price", "gpt-4o"], ["price", "gpt-4o", "--json"], ["--help"]], ids=" ".join)
def test_output_that_a_full_disk_does_not_take_is_one_line_and_exit_code_1(words):
    with FULL.open("w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "costspan", *words], stdout=out, stderr=subprocess.PIPE, text=True, timeout=60, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "costspan: the output could not be written (No space left on device): it is not whole\n"


@pytest.mark.parametrize("command", ["run", "report", "diff", "check", "doctor", "price", "serve"])
def test_a_paragraph_of_help_fills_its_lines(command):
    told = CliRunner().invoke(build(), [command, "--help"], terminal_width=80, env={"COLUMNS": "80"}).stdout
    lines = [line.strip() for line in told.partition("\n\u256d")[0].splitlines()]
    assert any(lines)
    for line, following in pairwise(lines):
        if line and following:
            assert len(line) + 1 + len(following.split()[0]) > 78, (line, following)
