"""The demo as a whole: summary, record and metrics agree with the provider's log, whatever the seed."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import signal
import subprocess
import sys
import urllib.request
from decimal import Decimal
from pathlib import Path

import pytest
import typer
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

import costspan
from costspan.cli import demo
from costspan.demo import compare, play
from costspan.errors import MissingExtraError, UsageError


def command(*arguments):
    app = typer.Typer()
    app.callback()(lambda: None)
    demo.register(app)
    return CliRunner().invoke(app, ["demo", "--seed", "2", *arguments])


@pytest.mark.parametrize("seed", range(10))
def test_every_number_of_every_agent_and_tool_agrees_with_the_log(seed, tmp_path):
    shown = play.play(seed=seed, record_dir=tmp_path)
    assert shown.differences == ()
    assert {agent.name for agent in shown.run.agents} == {"PM", "Dev", "Researcher", "QA"}
    assert {tool.name for tool in shown.run.tools} == {"search_tickets", "run_tests", "ask_researcher"}
    assert shown.run.totals.coverage.share == 1.0


def test_a_wrong_log_is_not_agreed_with(tmp_path):
    shown = play.play(seed=1, record_dir=tmp_path)
    log = list(shown.log)
    dearer = dataclasses.replace(log[-1].usage, output_tokens=log[-1].usage.output_tokens + 1)
    log[-1] = dataclasses.replace(log[-1], usage=dearer)
    truth = compare.of_log(log, price=lambda entry: None)
    found = [str(difference) for difference in compare.differences(compare.of_run(shown.run), truth)]
    assert any(line.startswith("agent QA: output tokens") for line in found)


def test_metrics_say_the_same_as_the_log(tmp_path):
    scraped = {}

    def scrape(shown):
        with urllib.request.urlopen(f"{shown.metrics_url}/metrics") as answer:
            text = answer.read().decode()
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                scraped[sample.name, sample.labels.get("agent"), sample.labels.get("tool")] = (
                    scraped.get((sample.name, sample.labels.get("agent"), sample.labels.get("tool")), 0) + sample.value
                )

    shown = play.play(seed=4, record_dir=tmp_path, metrics_port=0, hold=scrape)
    for agent in shown.run.agents:
        billed = [entry.usage.total_tokens for entry in shown.log if entry.billed and entry.agent == agent.name]
        assert scraped["costspan_tokens_total", agent.name, None] == sum(billed)
        dollars = scraped["costspan_cost_usd_total", agent.name, None]
        assert dollars == pytest.approx(float(agent.self_totals.cost_usd))


def test_the_command_prints_summary_and_agreement(tmp_path):
    done = command("--record-dir", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert "Researcher" in done.stdout
    assert "agrees with the provider's log, for each agent and each tool: 13 calls" in done.stdout
    assert "beside it the run as a page (.html) and its metrics (.prom)" in done.stdout
    place = Path(next(line for line in done.stdout.splitlines() if line.startswith("record ")).removeprefix("record "))
    record, page, metrics = (place.with_suffix(suffix).read_text(encoding="utf-8") for suffix in (".json", ".html", ".prom"))
    assert json.loads(record)["totals"]["calls"] == 13
    assert page.startswith("<!doctype html>")
    samples = [sample for family in text_string_to_metric_families(metrics) for sample in family.samples]
    agents = {sample.labels["agent"] for sample in samples if sample.name == "costspan_calls_total"}
    assert agents == {"PM", "Dev", "QA", "Researcher"}


def test_the_command_prints_only_the_record_as_json(tmp_path):
    done = command("--record-dir", str(tmp_path), "--json")
    assert json.loads(done.stdout)["totals"]["calls"] == 13
    assert "agrees with" in done.stderr


def test_the_command_exits_with_1_and_names_what_differs(tmp_path, monkeypatch):
    monkeypatch.setattr(play, "price", lambda book, entry: Decimal(1))
    done = command("--record-dir", str(tmp_path))
    assert done.exit_code == 1
    assert "differs from the provider's log" in done.stdout
    assert "agent QA: dollars" in done.stdout


def test_a_missing_framework_is_one_line_with_the_command_that_mends_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "langgraph" else object())
    with pytest.raises(MissingExtraError, match=r"the demo needs langgraph: pip install 'costspan\[demo\]'"):
        play.require()


def test_costspan_that_is_on_already_is_a_clear_error(tmp_path):
    costspan.enable(summary=False)
    try:
        with pytest.raises(UsageError, match="call disable"):
            play.play(seed=1, record_dir=tmp_path)
    finally:
        costspan.disable()


def test_costspan_that_is_switched_off_is_a_clear_error(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with pytest.raises(UsageError, match="OTEL_SDK_DISABLED"):
        play.play(seed=1, record_dir=tmp_path)


def test_proxies_and_tracing_services_stay_out_of_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("LANGSMITH_TRACING", "true")
    assert play.play(seed=1, record_dir=tmp_path).differences == ()


def test_metrics_are_served_until_ctrl_c(tmp_path):
    program = "from costspan.cli import demo; import typer; app = typer.Typer(); demo.register(app); app()"
    command = [sys.executable, "-c", program, "--seed", "2", "--metrics-port", "0", "--record-dir", str(tmp_path)]
    # Where the tests run in a shell's background, SIGINT is ignored, and a child would inherit that.
    listening = functools.partial(signal.signal, signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=listening) as process:  # noqa: PLW1509 - no threads yet
        lines = iter(process.stdout.readline, "")
        url = next(line.split()[1].rstrip(",") for line in lines if line.startswith("serving "))
        with urllib.request.urlopen(url) as answer:
            text = answer.read().decode()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert "costspan_cost_usd_total{" in text
    assert process.returncode == 0
    assert errors.strip() == ""
