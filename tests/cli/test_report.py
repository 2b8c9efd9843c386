from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

import otlp_build as build
from costspan.cli import build as build_app
from costspan.errors import InputError, UsageError
from costspan.report import run_json
from costspan.report.figures import dollars
from made_runs import made_call, made_run

TRACES = Path(__file__).parent.parent / "pipeline" / "traces"
ONE = TRACES / "openinference-langchain__pipeline_openai.json.gz"
COMMAND = (sys.executable, "-c", "from costspan.cli import main; main()", "report")
TRUTH = json.loads((TRACES / "openinference-langchain__pipeline_openai.expected.json").read_text())


def run(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(), ["report", *map(str, arguments)])


def number(text: str) -> int:
    return int(text.replace(",", ""))


def test_every_token_of_the_printed_summary_equals_the_truth() -> None:
    result = run(ONE)
    assert result.exit_code == 0
    sums = re.findall(r"^ +(\S+) +([\d,]+) \+ +([\d,]+) = +([\d,]+) \(\$([\d.]+)\)", result.stdout, re.MULTILINE)
    printed = {name: (number(one), number(two), number(three)) for name, one, two, three, _ in sums}
    total = TRUTH["total"]
    assert printed.pop("total") == (total["input"], total["output"], total["input"] + total["output"])
    expected = {name.lower(): (a["input"], a["output"], a["input"] + a["output"]) for name, a in TRUTH["by_agent"].items()}
    assert {name.lower(): counts for name, counts in printed.items()} == expected
    assert sum(float(cost) for *_, cost in sums[:-1]) == pytest.approx(float(sums[-1][-1]), abs=0.0003)
    ok = [call for call in TRUTH["llm_calls"] if call["status"] == 200]
    last = result.stdout.strip().splitlines()[-1] if "folded" not in result.stdout else result.stdout.splitlines()[-2]
    assert f"{total['input']:,} input + {total['output']:,} output" in last
    assert len(ok) == 7
    for name, tool in TRUTH["by_tool"].items():
        (row,) = re.findall(rf"^{name} +(\d+) +(\d+)", result.stdout, re.MULTILINE)
        assert tuple(map(int, row)) == (tool["calls"], tool["errors"])


def test_json_is_one_document_with_runs_totals_and_problems(tmp_path: Path) -> None:
    bad = build.save(tmp_path / "bad.json", b'{"resourceSpans": [')
    result = run(ONE, bad, "--json", "--by", "agent,day")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    total = TRUTH["total"]
    assert document["totals"]["usage"]["input_tokens"] == total["input"]
    assert document["totals"]["runs"] == len(document["runs"]) == 1
    assert document["runs"][0]["schema_version"] == 1
    assert document["runs"][0]["totals"]["usage"] == document["totals"]["usage"]
    assert sum(group["usage"]["output_tokens"] for group in document["groups"]) == total["output"]
    assert {"agent", "day", "calls", "usage", "cost", "coverage"} <= set(document["groups"][0])
    (problem,) = document["problems"]
    assert problem["file"] == str(bad)
    assert "byte" in problem["where"]
    assert document["partial"] is True
    assert f"costspan: {bad}" in result.stderr


def test_json_without_a_run_is_valid_too(tmp_path: Path) -> None:
    lone = build.save(tmp_path / "lone.json", build.to_json(build.request(build.chat(1))))
    document = json.loads(run(lone, "--json").stdout)
    assert document["runs"] == []
    assert document["totals"]["lone_calls"]["calls"] == document["totals"]["calls"] == 1
    assert document["problems"] == []


def test_groups_are_printed_as_a_table_and_as_csv() -> None:
    printed = run(ONE, "--by", "agent,model")
    rows = [line.split() for line in printed.stdout.splitlines()]
    assert rows[0][:3] == ["agent", "model", "calls"]
    total = next(row for row in rows if row[0] == "total")
    assert (number(total[2]), number(total[4])) == (TRUTH["total"]["input"], TRUTH["total"]["output"])
    table = list(csv.DictReader(io.StringIO(run(ONE, "--by", "agent,model", "--csv").stdout)))
    assert sum(int(row["input_tokens"] or 0) for row in table) == TRUTH["total"]["input"]
    assert {row["model"] for row in table if row["input_tokens"]} == {"gpt-5-mini"}


@pytest.mark.parametrize("terminal", [{"COLUMNS": "40"}, {"COLUMNS": "40", "FORCE_COLOR": "1"}], ids=["pipe", "terminal"])
def test_no_width_costs_a_table_of_groups_a_name_or_a_figure(monkeypatch: pytest.MonkeyPatch, terminal: dict[str, str]) -> None:
    for name, value in terminal.items():
        monkeypatch.setenv(name, value)
    by = ("workflow", "agent", "model", "provider", "tool")
    table = re.sub(r"\x1b\[[\d;]*m", "", run(ONE, "--by", ",".join(by)).stdout)
    assert "\u2026" not in table
    for row in csv.DictReader(io.StringIO(run(ONE, "--by", ",".join(by), "--csv").stdout)):
        (line,) = [found for found in table.splitlines() if f" {int(row['input_tokens']):,} " in found]
        assert all((row[name] or "-")[:12] in line for name in by)
        assert f" {int(row['output_tokens']):,} " in line
        assert f" {dollars(Decimal(row['cost_usd']))} " in line


def test_csv_without_groups_has_a_row_for_each_run() -> None:
    table = list(csv.DictReader(io.StringIO(run(ONE, "--csv").stdout)))
    assert [int(row["input_tokens"]) for row in table] == [TRUTH["total"]["input"]]
    assert float(table[0]["cost_usd"]) > 0


def test_only_so_many_runs_are_printed_in_full(tmp_path: Path) -> None:
    spans = []
    for trace in range(1, 15):
        spans += [build.agent(1, f"agent-{trace}", trace=trace, at=trace), build.chat(2, trace=trace, parent=1, at=trace)]
    path = build.save(tmp_path / "many.json", build.to_json(build.request(*spans)))
    printed = run(path, "--limit", "3").stdout
    assert printed.count("per agent:") == 3
    assert "11 more runs not shown" in printed
    assert "total of 14 runs: 14 calls" in printed


def test_calls_outside_any_run_are_shown_as_such(tmp_path: Path) -> None:
    path = build.save(tmp_path / "lone.json", build.to_json(build.request(build.chat(1), build.chat(2, trace=2))))
    assert "of these outside any run: 2 calls" in run(path).stdout


def test_a_trace_without_model_calls_says_so(tmp_path: Path) -> None:
    path = build.save(tmp_path / "http.json", build.to_json(build.request(build.span(1))))
    result = run(path)
    assert result.exit_code == 0
    assert "no model calls found (1 span" in result.stdout


def test_hostile_names_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    request = build.request(build.agent(1, "evil\x1b[2J\nname"), build.chat(2, parent=1, model="m\x1b]0;x\x07"))
    path = build.save(tmp_path / "t.json", build.to_json(request))
    for arguments in ((), ("--by", "agent,model")):
        assert "\x1b" not in run(path, *arguments).stdout


@pytest.mark.parametrize("arguments", [("missing.json",), ("--by", "nothing", ONE), ("--json", "--csv", ONE), ("--by", " ", ONE)])
def test_wrong_use_is_refused_with_one_line(arguments: tuple[object, ...]) -> None:
    result = run(*arguments)
    assert isinstance(result.exception, (InputError, UsageError))
    assert "\n" not in str(result.exception)


def test_the_command_exits_with_2_for_a_missing_file_and_1_for_a_damaged_one(tmp_path: Path) -> None:
    damaged = build.save(tmp_path / "cut.json.gz", ONE.read_bytes()[:-2000])
    for arguments, code in (("nowhere.json", 2), (damaged, 1), (tmp_path, 2)):
        done = subprocess.run([*COMMAND, arguments], capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == code
        assert "Traceback" not in done.stderr
        assert str(arguments) in done.stderr


@pytest.mark.parametrize("arguments", [("--csv",), ("--csv", "--by", "agent"), ("--by", "agent"), ("--json",), ()])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_no_name_is_too_much_for_an_encoding(tmp_path: Path, encoding: str, arguments: tuple[str, ...]) -> None:
    for number, name in enumerate(("研究員", "\ud800 half a pair")):
        trace = f"{number + 1:032x}"
        run = made_run((made_call(name, trace_id=trace),), workflow=name, id=str(number), trace_ids=(trace,))
        run_json.write(run, tmp_path)
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    records = sorted(map(str, tmp_path.iterdir()))
    done = subprocess.run([*COMMAND, *records, *arguments], capture_output=True, check=False, timeout=60, env=environment)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert done.stdout.decode(encoding)


def test_no_progress_bar_where_standard_error_is_no_terminal() -> None:
    result = run(ONE)
    assert "reading" not in result.stderr


def test_the_runs_can_be_written_as_a_page_too(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = run(ONE, "--html", page)
    assert result.exit_code == 0
    assert "software_pipeline" in page.read_text(encoding="utf-8")
    assert "24,133" in result.stdout
