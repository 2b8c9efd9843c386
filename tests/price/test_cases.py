"""Forty priced calls whose truth comes from the providers' own pages; each case names its source."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

CASES = json.loads(Path(__file__).with_name("cases.json").read_text(encoding="utf-8"))
MISSES: dict[str, str] = {}
"""Case id -> why we are wrong there. Empty: all forty are right."""


def test_the_command_prices_every_case_to_the_last_decimal(tmp_path):
    keys = ("id", "provider", "model", "at", "usage", "service_tier", "batch")
    lines = tmp_path / "cases.jsonl"
    lines.write_text("".join(json.dumps({key: case[key] for key in keys if key in case}) + "\n" for case in CASES))
    done = subprocess.run(
        [sys.executable, "-c", "from costspan.cli import main; main()", "price", "--batch", str(lines), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["id"] for answer in answers] == [case["id"] for case in CASES]
    wrong = {
        case["id"]: (answer["cost_usd"], case["truth"])
        for case, answer in zip(CASES, answers, strict=True)
        if _amount(answer["cost_usd"]) != _amount(case["truth"])
    }
    assert set(wrong) == set(MISSES), wrong
    assert all(set(answer) == {"id", "cost_usd", "price_source", "price_ref", "reason"} for answer in answers)
    assert done.stderr == ""


def _amount(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)
