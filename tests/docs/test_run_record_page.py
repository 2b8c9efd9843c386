"""The page on the run record: its code runs as printed, and its fields are the schema's."""

from __future__ import annotations

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

from costspan.report.run_json import schema

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "run-record.md").read_text(encoding="utf-8")


def test_the_code_prints_what_its_comments_say(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COSTSPAN_PRICES", raising=False)
    names: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        out = io.StringIO()
        with redirect_stdout(out):
            exec(block, names)
        promised = re.findall(r"print\(.*\)  # (.*)$", block, re.MULTILINE)
        assert [line.strip() for line in out.getvalue().splitlines()] == [line.strip() for line in promised]


def test_the_table_names_every_field_of_the_record():
    section = PAGE.partition("## What is in it")[2].partition("Rules that hold")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(schema()["properties"])
