"""Every snippet of docs/prices.md is run."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from costspan.cli import price

PAGE = (Path(__file__).parents[2] / "docs" / "prices.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
CONSOLE = [text for language, text in BLOCKS if language == "console"]
CALL, FILE = [text for language, text in BLOCKS if language == "json"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    path = tmp_path / "prices.json"
    path.write_text(FILE, encoding="utf-8")
    app = typer.Typer()
    price.register(app)

    def call(words, *, stdin=None, overrides=False):
        monkeypatch.setenv("COSTSPAN_PRICES", str(path) if overrides else "")
        return CliRunner().invoke(app, words, input=stdin)

    return call


@pytest.mark.parametrize("text", CONSOLE)
def test_the_page_shows_what_the_command_prints(run, text):
    command, _, shown = text.partition("\n")
    words = shlex.split(command.removeprefix("$ "))
    overrides = words[0].startswith("COSTSPAN_PRICES=")
    assert run(words[words.index("price") + 1 :], overrides=overrides).stdout == shown


def test_the_batch_line_gives_the_answer_on_the_page(run):
    answer = run(["--batch", "-", "--json"], stdin=CALL).stdout.strip()
    assert json.loads(answer)["cost_usd"] == "0.0035"
    assert f"`{answer}`" in PAGE
