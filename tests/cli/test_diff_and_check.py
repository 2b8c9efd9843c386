from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from costspan import __version__
from costspan.cli import build
from costspan.errors import UsageError
from costspan.report import run_json
from made_runs import made_call, made_run
from page_runs import team_run

TRACE = Path(__file__).parent.parent / "pipeline" / "traces" / "openinference-langchain__pipeline_openai.json.gz"


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    runs = {
        "a": team_run(run_id="a"),
        "b": team_run(20, dearer="1.5", run_id="b"),
        "unpriced": made_run((made_call(cost=None),), id="c"),
        "empty": made_run((), id="d"),
    }
    for name, run in runs.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(run_json.to_record(run)))
    return {name: str(tmp_path / f"{name}.json") for name in runs}


def code_of(*arguments: str) -> int:
    return CliRunner().invoke(build(), list(arguments)).exit_code


def test_diff_fails_beyond_the_limit_only(files):
    assert code_of("diff", files["a"], files["b"]) == 0
    assert code_of("diff", files["a"], files["b"], "--fail-over", "10%") == 1
    assert code_of("diff", files["b"], files["a"], "--fail-over", "10%") == 0
    assert code_of("diff", files["a"], files["unpriced"], "--fail-over", "10%") == 3


def test_diff_speaks_json_and_markdown(files):
    result = CliRunner().invoke(build(), ["diff", files["a"], files["b"], "--json"])
    told = json.loads(result.stdout)
    assert {line["name"] for line in told["changes"]["agent"]} == {"PM", "Dev", "QA"}
    assert CliRunner().invoke(build(), ["diff", files["a"], files["b"], "--markdown"]).stdout.startswith("### costspan: ")


def test_diff_reads_traces_as_well_as_records(files):
    assert code_of("diff", str(TRACE), str(TRACE), "--fail-over", "0%") == 0


def test_check_has_a_code_for_each_answer(files):
    assert code_of("check", files["a"], "--max-cost-run", "0.50") == 0
    assert code_of("check", files["a"], "--max-cost-run", "0.001") == 1
    assert code_of("check", files["unpriced"], "--max-cost-run", "1") == 3
    assert code_of("check", files["empty"], "--max-tokens", "5") == 3


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("50%", 0),
        ("50", 0),
        ("0.5", 0),
        ("0", 0),
        ("95%", 1),
        ("95", 1),
        ("0.95", 1),
        ("1", 1),
        ("100%", 1),
        ("1%", 0),
        ("1.5", 0),
    ],
)
def test_coverage_may_be_given_as_a_share_or_in_percent(tmp_path, given, code):
    half = made_run((made_call(id="1"), made_call(id="2", cost=None)))
    path = tmp_path / "half.json"
    path.write_text(json.dumps(run_json.to_record(half)))
    assert code_of("check", str(path), "--min-coverage", given) == code


@pytest.mark.parametrize(
    "arguments",
    [
        ("{a}",),
        ("{a}", "--max-cost-run", "much"),
        ("nowhere", "--max-tokens", "1"),
        ("{a}", "--max-calls-run", "x"),
        ("{a}", "--min-coverage", "101"),
        ("{a}", "--min-coverage", "most"),
    ],
)
def test_wrong_use_of_check_is_code_2_and_says_why(files, arguments):
    command = [
        sys.executable,
        "-c",
        "from costspan.cli import main; main()",
        "check",
        *(part.format(**files) for part in arguments),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert ended.stderr


def test_report_writes_the_page(files, tmp_path):
    page = tmp_path / "run.html"
    assert code_of("report", files["a"], "--html", str(page)) == 0
    assert "<!doctype html>" in page.read_text()


def test_check_does_not_judge_by_a_price_file_that_could_not_be_used_in_full(files, tmp_path, monkeypatch):
    path = tmp_path / "prices.json"
    path.write_text('[{"model": "gpt-4o", "input": "much"}]')
    monkeypatch.setenv("COSTSPAN_PRICES", str(path))
    assert code_of("check", files["a"], "--max-cost-run", "0.50") == 3


def test_diff_checks_what_it_is_on_also_without_a_limit(files):
    done = CliRunner().invoke(build(), ["diff", files["a"], files["b"], "--on", "money"])
    assert isinstance(done.exception, UsageError)
    assert "--on takes" in str(done.exception)


def test_the_version_can_be_asked_for():
    done = CliRunner().invoke(build(), ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"costspan {__version__}\n")
