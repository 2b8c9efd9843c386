"""Calls outside of any run: told once when the process ends, counted once, and no run anywhere."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from opentelemetry.sdk.trace import TracerProvider

import costspan
from costspan.account import outside
from costspan.conventions import CALLS, RUNS
from costspan.records import NO_USAGE
from costspan.testing import measure
from made_runs import made_call

SCRIPTS = Path(sys.executable).parent
PROGRAM = """
    import openai, costspan
    from costspan.testing import FakeProvider
    with FakeProvider(seed=1) as provider:
        {enable}
        client = openai.OpenAI(base_url=provider.openai_url, api_key="none")
        for model in ("gpt-4o", "gpt-5-mini"):
            client.chat.completions.create(model=model, messages=[{{"role": "user", "content": "hi"}}])
"""


@pytest.mark.parametrize("under_run", [False, True], ids=["enable", "costspan-run"])
def test_bare_calls_are_told_when_the_process_ends(tmp_path, under_run):
    path = tmp_path / "app.py"
    path.write_text(textwrap.dedent(PROGRAM).format(enable="" if under_run else "costspan.enable(summary=True)"))
    words = [str(SCRIPTS / "costspan"), "run", sys.executable] if under_run else [sys.executable]
    done = subprocess.run([*words, str(path)], capture_output=True, text=True, timeout=60, check=True)
    text = " ".join(done.stderr.split())
    assert text.startswith("costspan: calls outside of any run: 2 calls models")
    assert " gpt-4o " in text
    assert " gpt-5-mini " in text
    assert "100 % reported and priced" in text
    assert 'hint: put them inside `with costspan.run("name"):`' in text


@pytest.mark.parametrize("ask", [False, True], ids=["unasked", "as-the-mend-says"])
def test_a_bare_stream_without_usage_is_told_with_what_mends_it(provider, capsys, ask):
    with measure(summary=True, ask_stream_usage=ask):
        client = openai.OpenAI(base_url=provider.openai_url, api_key="none")
        list(client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}], stream=True))
    text = capsys.readouterr().err
    assert ("mend: COSTSPAN_ASK_STREAM_USAGE=on, or costspan.enable(ask_stream_usage=True)\n" in text) is not ask
    assert ("100 % reported and priced" in text) is ask
    assert "ChatOpenAI" not in text


def test_they_are_counted_once_and_are_no_run(capsys):
    with measure(summary=True) as seen:
        costspan.record_call(model="gpt-4o", provider="openai", input_tokens=10, output_tokens=1)
        with costspan.run("job"):
            costspan.record_call(model="gpt-4o", provider="openai", input_tokens=10, output_tokens=1)
        assert "outside" not in capsys.readouterr().err
        assert (seen.metric(CALLS), seen.metric(RUNS)) == (2, 1)
    assert len(seen.runs) == 1
    assert "calls outside of any run: 1 call\n" in capsys.readouterr().err


def test_nothing_is_told_where_every_call_has_a_run_and_where_nobody_asked(capsys):
    with measure(summary=True), costspan.run("job"):
        costspan.record_call(model="gpt-4o", provider="openai", input_tokens=10, output_tokens=1)
    with measure(summary=False):
        costspan.record_call(model="gpt-4o", provider="openai", input_tokens=10, output_tokens=1)
    assert "outside" not in capsys.readouterr().err


def test_without_summaries_a_line_says_why_there_is_no_record(tmp_path, caplog):
    with measure(summary=False, record_dir=tmp_path):
        costspan.record_call(model="gpt-4o", provider="openai", input_tokens=10, output_tokens=1)
    assert "calls outside of any run: 1 call, $" in caplog.text
    assert "they have no record: put them inside `with costspan.run" in caplog.text
    assert not list(tmp_path.iterdir())


def test_the_sum_is_exact_from_many_threads_and_its_memory_is_bounded():
    found = outside.Outside()
    calls = [made_call(number=n, model=f"m{n % 300}", usage=NO_USAGE, cost=None) for n in range(3000)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(found.add, calls))
    told = found.sum()
    assert told.totals.calls == told.totals.coverage.missing_calls == 3000
    assert len(told.models) <= outside.MODELS_MAX + 1
    assert told.calls == ()
    found.forget()
    assert found.sum() is None


def test_a_second_life_begins_at_nothing(capsys):
    for _ in range(2):
        costspan.enable(summary=True, tracer_provider=TracerProvider(shutdown_on_exit=False))
        costspan.record_call(model="gpt-4o", provider="openai", input_tokens=10, output_tokens=1)
        costspan.disable()
        assert "outside of any run: 1 call\n" in capsys.readouterr().err
