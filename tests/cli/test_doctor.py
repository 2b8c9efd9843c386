from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner, Result

import otlp_build as build
from costspan.cli import build as build_app

TRACES = Path(__file__).parent.parent / "pipeline" / "traces"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(build_app(), ["doctor", *map(str, arguments)])


def test_the_environment_is_told_in_words() -> None:
    result = run()
    assert result.exit_code == 0
    assert "langchain-core 1." in result.stdout
    assert "Anthropic SDK" in result.stdout
    assert "ANTHROPIC_OPEN_TELEMETRY=false" in result.stdout
    assert "price table: " in result.stdout


def test_lines_that_mend_are_never_wrapped() -> None:
    result = run(TRACES / "official-langchain__pipeline_openai_stream_nousage.json.gz")
    assert "\n      ChatOpenAI(..., stream_usage=True)\n" in result.stdout
    assert "without usage" in result.stdout


def test_json_has_everything_that_the_words_have() -> None:
    document = json.loads(run(TRACES / "official-langchain__pipeline_openai_stream_nousage.json.gz", "--json").stdout)
    assert {"emitters", "overlaps", "libraries", "price_table_age_days"} <= set(document["environment"])
    trace = document["trace"]
    assert trace["unreported"][0]["reason"] == "stream_without_usage"
    assert trace["totals"]["coverage"]["missing_calls"] == 1
    assert any("stream_usage=True" in finding["mend"] for finding in trace["findings"])
    assert json.loads(run("--json").stdout)["trace"] is None


def test_a_damaged_file_is_told_and_the_rest_examined(tmp_path: Path) -> None:
    cut = build.to_json(build.request(build.chat(1), build.chat(2)))[:-40]
    result = run(build.save(tmp_path / "cut.json", cut))
    assert result.exit_code == 1
    assert "cut.json" in result.stderr
    assert "1 call" in result.stdout


def test_a_file_of_which_nothing_can_be_read_is_not_called_healthy(tmp_path: Path) -> None:
    half = build.to_json(build.request(build.chat(1)))[:60]
    result = run(build.save(tmp_path / "half.json", half))
    assert result.exit_code == 1
    assert "half.json" in result.stderr
    assert "nothing in them could be read" in result.stdout
    assert "nothing to mend" not in result.stdout
    assert " 0 spans" not in result.stdout


def test_hostile_names_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    request = build.request(build.chat(1, model="m\x1b[2J", provider="p\x1b"), scope="evil\x1b[31m")
    assert "\x1b" not in run(build.save(tmp_path / "t.json", build.to_json(request))).stdout
