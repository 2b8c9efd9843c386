from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from costspan.cli import price
from costspan.errors import InputError, SettingsError, UsageError


@pytest.fixture
def run(monkeypatch):
    monkeypatch.delenv("COSTSPAN_PRICES", raising=False)
    app = typer.Typer()
    price.register(app)

    def call(*words, stdin=None):
        return CliRunner().invoke(app, list(words), input=stdin)

    return call


def test_one_model_by_hand(run):
    done = run("gpt-4o", "--input", "10000", "--output", "500", "--cache-read", "8000", "--at", "2026-11-20")
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [
        "openai/gpt-4o  $0.02  (table: openai/gpt-4o@undated)",
        "  input_uncached     $0.005",
        "  input_cache_read   $0.01",
        "  output_visible     $0.005",
    ]


def test_without_counts_the_rates_are_told_and_no_cost(run):
    done = run("gpt-6.1-sol", "--at", "2026-11-20")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "openai/gpt-6.1-sol  USD per million tokens  (table: openai/gpt-6.1-sol@undated)"
    assert lines[1:5] == [
        "  input              $2",
        "  cache_read         $0.1",
        "  cache_write        $2.5",
        "  output             $10",
    ]
    assert "  output             $15  (all tokens of a call with more than 272,000 input tokens)" in lines
    assert lines[-1] == "  context window     1,050,000 tokens"
    told = json.loads(run("gpt-6.1-sol", "--at", "2026-11-20", "--json").stdout)
    assert told["usd_per_million_tokens"] == {"input": "2", "cache_read": "0.1", "cache_write": "2.5", "output": "10"}
    assert (told["price_source"], told["context_window_tokens"]) == ("table", 1_050_000)
    assert (run("gpt-77", "--provider", "openai").exit_code, run("gpt-4o", "--input", "0").stdout[:18]) == (
        3,
        "openai/gpt-4o  $0 ",
    )


def test_one_model_as_json(run):
    answer = json.loads(run("claude-opus-5-5", "--input", "10000", "--at", "2026-11-20", "--json").stdout)
    assert (answer["cost_usd"], answer["price_source"], answer["by_cost_type"]) == ("0.04", "table", {"input_uncached": "0.04"})


def test_a_model_nobody_knows_ends_with_3_and_says_what_to_do(run):
    done = run("deepseek-r1:8b", "--input", "10")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "COSTSPAN_PRICES" in done.stderr


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ({"model": "gpt-4o", "provider": "openai", "usage": {"input_tokens": -1}}, "invalid_usage"),
        ({"model": "gpt-4o", "provider": "openai", "usage": {"tokens": 1}}, "invalid_usage"),
        ({"model": "gpt-4o", "provider": "openai", "usage": None}, "invalid_usage"),
        ({"model": "gpt-4o", "provider": "openai", "usage": {"input_tokens": None, "output_tokens": 5}}, "invalid_usage"),
        ({"model": "gpt-4o", "provider": "openai", "usage": {"input_tokens": 1}, "at": "yesterday"}, "invalid_usage"),
        ({"model": "gpt-77", "provider": "openai", "usage": {"input_tokens": 1}}, "unknown_model"),
        ({"usage": {"input_tokens": 1}}, "unknown_model"),
    ],
)
def test_a_line_without_a_price_is_answered_with_the_reason(run, tmp_path, line, reason):
    path = tmp_path / "calls.jsonl"
    path.write_text(json.dumps({"id": "x", **line}) + "\n")
    done = run("--batch", str(path), "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {
        "id": "x",
        "cost_usd": None,
        "price_source": "unknown",
        "price_ref": None,
        "reason": reason,
    }


def test_unreadable_lines_are_named_and_the_others_priced(run):
    good = json.dumps({"id": 1, "provider": "openai", "model": "gpt-4o", "usage": {"input_tokens": 1000}})
    done = run("--batch", "-", "--json", stdin=f"{good}\n\nnonsense\n[1]\n{good}\n")
    assert done.exit_code == 1
    assert [json.loads(line)["cost_usd"] for line in done.stdout.splitlines()] == ["0.0025", None, None, "0.0025"]
    assert "line 3" in done.stderr
    assert "line 4" in done.stderr


GOOD = {"id": 1, "provider": "openai", "model": "gpt-4o", "at": "2026-11-20", "usage": {"input_tokens": 1000}}


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"usage": None}, "usage must be an object"),
        ({"usage": {"tokens": 1}}, "unknown count 'tokens'"),
        ({"usage": {"input_tokens": -1}}, "input tokens are negative (-1)"),
        ({"usage": {"input_tokens": 1e400}}, "not a whole number"),
        ({"usage": {"input_tokens": 1, "cache_read": 2}}, "exceed input tokens (1)"),
        ({"at": "yesterday"}, "at is 'yesterday'"),
        ({"at": 1790000000}, "at is 1790000000"),
        ({"batch": "yes"}, "batch is 'yes', not true or false"),
        ({"fees": "web_search"}, "fees are 'web_search'"),
        ({"model": ["gpt-4o"]}, "wrong type"),
    ],
    ids=str,
)
def test_a_call_that_makes_no_sense_is_told_in_one_line_and_the_others_are_priced(run, bad, why):
    lines = "\n".join(json.dumps(call) for call in (GOOD, {**GOOD, **bad}, GOOD))
    done = run("--batch", "-", "--json", stdin=lines)
    assert [json.loads(line)["cost_usd"] for line in done.stdout.splitlines()] == ["0.0025", None, "0.0025"]
    assert done.stderr.startswith("costspan: line 2 is left unpriced: ")
    assert why in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "at", ["2026-08-21T00:00:00Z", "2026-08-21t00:00:00z", "2026-08-21", "20260821", "2026-08-21T05:30:00+05:30"]
)
def test_a_price_begins_at_its_moment_however_the_time_is_written(run, at):
    call = {"model": "gpt-5.6-sol", "at": at, "usage": {"input_tokens": 1000}}
    before = {**call, "at": "2026-08-20T23:59:59.999999Z"}
    done = run("--batch", "-", "--json", stdin=f"{json.dumps(call)}\n{json.dumps(before)}")
    assert [json.loads(line)["cost_usd"] for line in done.stdout.splitlines()] == ["0.004", "0.005"]


def test_a_line_nested_too_deeply_is_named_and_the_others_priced(run):
    deep = '{"usage": ' + "[" * 200_000 + "]" * 200_000 + "}"
    done = run("--batch", "-", "--json", stdin=f"{deep}\n{json.dumps(GOOD)}")
    assert done.exit_code == 1
    assert [json.loads(line)["cost_usd"] for line in done.stdout.splitlines()] == [None, "0.0025"]
    assert "line 1 is not a JSON object" in done.stderr


@pytest.mark.parametrize("way", ["file", "stdin"])
def test_a_byte_order_mark_windows_line_ends_and_bytes_that_are_no_text_are_no_trouble(run, tmp_path, way):
    line = json.dumps(GOOD).encode()
    data = b"\xef\xbb\xbf" + line + b"\r\n\r\n" + line + b"\r\n\xff\xfe\r\n" + line
    path = tmp_path / "calls.jsonl"
    path.write_bytes(data)
    done = run("--batch", str(path), "--json") if way == "file" else run("--batch", "-", "--json", stdin=data)
    assert [json.loads(line)["cost_usd"] for line in done.stdout.splitlines()] == ["0.0025", "0.0025", None, "0.0025"]
    assert (done.exit_code, done.stderr) == (1, "costspan: line 4 is not a JSON object; it is left unpriced\n")


def test_any_id_fits_into_one_row_of_the_table(run):
    lines = "\n".join(json.dumps({**GOOD, "id": name}) for name in ("\ud800x", "a\nb", "\x1b[31mred", None, ["l"]))
    done = run("--batch", "-", stdin=lines)
    assert (done.exit_code, done.exception) == (0, None)
    assert [line.partition("\t")[0] for line in done.stdout.splitlines()] == ["x", "a b", "red", "-", "['l']"]


def test_a_price_file_may_begin_with_a_byte_order_mark(run, monkeypatch, tmp_path):
    path = tmp_path / "prices.json"
    path.write_text('[{"provider": "acme", "model": "house", "input": 1, "output": 1}]', encoding="utf-8-sig")
    monkeypatch.setenv("COSTSPAN_PRICES", str(path))
    assert "  $0.00001  (override: " in run("house", "--provider", "acme", "--input", "10").stdout


def test_a_batch_without_json_is_a_table(run):
    line = json.dumps({"id": "a", "provider": "openai", "model": "gpt-4o", "usage": {"input_tokens": 1000}, "batch": True})
    done = run("--batch", "-", stdin=line)
    assert done.stdout.startswith("a\t0.00125\topenai/gpt-4o@")


def test_overrides_come_from_the_environment(run, monkeypatch, tmp_path):
    path = tmp_path / "prices.json"
    path.write_text('[{"provider": "acme", "model": "house", "input": 1, "output": 1}]')
    monkeypatch.setenv("COSTSPAN_PRICES", str(path))
    answer = json.loads(run("house", "--provider", "acme", "--input", "10", "--json").stdout)
    assert (answer["cost_usd"], answer["price_source"]) == ("0.00001", "override")
    path.write_text("{")
    assert isinstance(run("house", "--provider", "acme").exception, SettingsError)


def test_bad_rows_are_all_told_and_left_out_and_the_rest_is_priced(run, monkeypatch, tmp_path, caplog):
    path = tmp_path / "prices.json"
    path.write_text('[{"input": 1, "output": 1}, {"model": "house", "input": 1, "output": 1}, {"model": "bad", "input": "much"}]')
    monkeypatch.setenv("COSTSPAN_PRICES", str(path))
    done = run("house", "--input", "10")
    assert "  $0.00001  (override: any/house@undated)" in done.stdout
    assert done.exit_code == 1
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert 'price 1: "model" must be a name' in lines[0]
    assert "price 3 ('bad'): 'input' is 'much'" in lines[1]
    assert run("house").exit_code == run("--batch", "-", stdin='{"model": "house", "usage": {}}').exit_code == 1
    assert run("gpt-77", "--provider", "openai").exit_code == 3


def test_a_model_that_the_price_file_has_of_another_provider_is_pointed_at(run, monkeypatch, tmp_path):
    path = tmp_path / "prices.json"
    path.write_text(
        '[{"provider": "acme", "model": "house-large", "input": 1, "output": 1}, {"provider": "vllm", "model": "*", "input": 1}]'
    )
    monkeypatch.setenv("COSTSPAN_PRICES", str(path))
    for words in (("house-large",), ("house-large", "--provider", "openai", "--input", "1")):
        done = run(*words)
        assert done.exit_code == 3
        assert "your price file has 'house-large' of acme" in done.stderr
        assert "--provider acme" in done.stderr
    assert "add it to the file" in run("other").stderr


def test_wrong_use_is_told(run, tmp_path):
    assert isinstance(run().exception, UsageError)
    assert isinstance(run("gpt-4o", "--batch", "x").exception, UsageError)
    for beside in (
        ("--at", "2026-01-31"),
        ("--provider", "openai"),
        ("--input", "0"),
        ("--service-tier", "flex"),
        ("--batch-api",),
    ):
        assert isinstance(run("--batch", "-", *beside, stdin=json.dumps(GOOD)).exception, UsageError), beside
    assert isinstance(run("--batch", str(tmp_path / "none.jsonl")).exception, InputError)
    assert isinstance(run("gpt-4o", "--input", "1", "--at", "tomorrow").exception, UsageError)
