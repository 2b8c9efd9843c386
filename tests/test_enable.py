"""Switching on and off: nothing unasked, everything put back, nothing lost when the process ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

import costspan
from costspan import guard, settings
from costspan.errors import MissingExtraError, SettingsError
from costspan.instrument.spans import SWITCH
from costspan.testing import measure

PROGRAM = """
    import costspan, sys, time
    {enable}
    with costspan.run("job"), costspan.agent("writer"):
        costspan.record_call(model="gpt-4o", provider="openai", input_tokens=1000, output_tokens=100)
        print("ready", flush=True)
        {then}
"""


def program(tmp_path, enable="costspan.enable()", then="pass"):
    path = tmp_path / "app.py"
    path.write_text(textwrap.dedent(PROGRAM).format(enable=enable, then=then))
    return [sys.executable, str(path)]


def run(words, tmp_path, **environment):
    env = {**os.environ, "COSTSPAN_RECORD_DIR": str(tmp_path / "records"), **environment}
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)


def records(tmp_path):
    return [json.loads(path.read_text()) for path in (tmp_path / "records").glob("*.json")]


def test_the_public_names_are_these():
    assert sorted(costspan.__all__) == [
        "agent", "aggregate", "calculate_cost", "disable", "enable", "extract_usage", "format_summary", "record_call", "run",
        "step", "tool",
    ]  # fmt: skip
    for name in costspan.__all__:
        assert callable(getattr(costspan, name))


def test_importing_costspan_loads_no_framework_opens_no_socket_and_starts_no_thread():
    code = """
        import socket, sys, threading
        socket.socket = None
        import costspan
        costspan.enable, costspan.run
        heavy = ("rich", "typer", "genai_prices", "langchain_core", "openai", "anthropic", "prometheus_client", "starlette",
                 "opentelemetry.exporter")
        print([name for name in heavy if name in sys.modules], threading.active_count())
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] 1"


def test_enabling_without_being_asked_opens_no_socket_and_prints_nothing(capfd, monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    costspan.enable(tracer_provider=TracerProvider(shutdown_on_exit=False))
    with costspan.run("job"):
        costspan.record_call(model="gpt-4o", provider="openai", input_tokens=10, output_tokens=1)
    costspan.disable()
    assert capfd.readouterr() == ("", "")


def test_enabling_twice_keeps_the_first_and_says_so_once(caplog):
    provider = TracerProvider(shutdown_on_exit=False)
    first = costspan.enable(tracer_provider=provider)
    try:
        assert costspan.enable(tracer_provider=provider, summary=True) is first
        assert costspan.enable(tracer_provider=provider) is first
        assert len([each for each in caplog.records if "called again" in each.message]) == 1
    finally:
        costspan.disable()


@pytest.mark.parametrize("launcher", [("costspan", "run", "python"), ("opentelemetry-instrument", "python")], ids=["run", "otel"])
def test_a_program_that_was_switched_on_from_outside_still_has_its_say(tmp_path, launcher):
    own = tmp_path / "own"
    path = program(
        tmp_path, f"costspan.enable(record_dir={str(own)!r}, summary=True, prices='x', on_run=lambda run: print(run.id))"
    )[1]
    words = [str(Path(sys.executable).parent / launcher[0]), *launcher[1:-1], sys.executable, path]
    done = run(words, tmp_path, COSTSPAN_RECORD_DIR="", OTEL_TRACES_EXPORTER="none", OTEL_METRICS_EXPORTER="none")
    (record,) = [json.loads(found.read_text()) for found in own.glob("*.json")]
    assert done.stdout.split() == ["ready", record["run"]["id"]]
    assert done.stderr.count("costspan: job  ok") == 1
    assert "too late for enable()'s prices: set the environment variable" in done.stderr


def test_disabling_restores_every_object_that_was_patched():
    from langchain_core.language_models.chat_models import BaseChatModel
    from langchain_core.language_models.llms import BaseLLM
    from langchain_core.runnables import base, fallbacks
    from langchain_core.tools import base as tools
    from langchain_core.tracers import context
    from langgraph._internal import _runnable
    from langgraph.pregel import Pregel

    chat = ("_generate_with_cache", "_agenerate_with_cache", "stream", "astream", "agenerate")

    def patched():
        return (
            base.set_config_context, fallbacks.set_config_context, tools.set_config_context, _runnable.set_config_context,
            *(vars(BaseChatModel)[name] for name in chat),
            vars(BaseLLM)["agenerate"], vars(Pregel).get("get_name"), threading.Thread.start,
        )  # fmt: skip

    before, hooks = patched(), list(context._configure_hooks)
    costspan.enable(tracer_provider=TracerProvider(shutdown_on_exit=False))
    assert all(now is not then for now, then in zip(patched(), before, strict=True))
    costspan.disable()
    assert all(now is then for now, then in zip(patched(), before, strict=True))
    assert context._configure_hooks == hooks


def test_a_framework_that_is_not_there_is_named_with_its_pip_line(monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name, package=None: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'costspan\[langchain\]'"):
        costspan.enable(instrument=["langchain"], tracer_provider=TracerProvider(shutdown_on_exit=False))


def test_an_unknown_framework_is_refused_with_the_ones_there_are():
    with pytest.raises(SettingsError, match="langchain"):
        costspan.enable(instrument=["langchian"], tracer_provider=TracerProvider(shutdown_on_exit=False))


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        (
            "COSTSPAN_SUMMARY",
            "maybe",
            "COSTSPAN_SUMMARY='maybe' is not understood; set it to one of on, off, auto; until then auto",
        ),
        ("COSTSPAN_ESTIMATE", "2", "COSTSPAN_ESTIMATE='2' is not understood; set it to one of on, off; until then off"),
        ("COSTSPAN_ASK_STREAM_USAGE", "yess", "COSTSPAN_ASK_STREAM_USAGE='yess' is not understood; set it to one of on, off"),
        ("OTEL_EXPORTER_PROMETHEUS_PORT", "abc", "OTEL_EXPORTER_PROMETHEUS_PORT='abc' is not a number between 0 and 65535"),
        (
            "OTEL_METRIC_EXPORT_INTERVAL",
            "nan",
            "OTEL_METRIC_EXPORT_INTERVAL='nan' is not a number between 0 and 1e+12; until it is",
        ),
    ],
)
def test_a_mistyped_variable_is_told_in_one_line_and_the_measuring_goes_on(monkeypatch, caplog, name, value, line):
    monkeypatch.setenv(name, value)
    guard.reset()
    runs = []
    handle = costspan.enable(tracer_provider=TracerProvider(shutdown_on_exit=False), instrument=False, on_run=runs.append)
    with costspan.run("still measured"):
        pass
    costspan.disable()
    assert handle.settings == settings.read({})
    assert [run.workflow for run in runs] == ["still measured"]
    assert [line in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize(
    ("words", "on"), [(("1", "true", "YES", "On"), True), (("0", "False", "no", "OFF", ""), False)], ids=["on", "off"]
)
def test_a_switch_may_be_said_in_the_usual_words(words, on):
    for word in words:
        found = settings.read({"COSTSPAN_ESTIMATE": word, "COSTSPAN_ASK_STREAM_USAGE": word, "COSTSPAN_SUMMARY": word or "off"})
        assert (found.estimate, found.ask_stream_usage, found.summary) == (on, on, "on" if on else "off")


def test_the_sdks_own_switch_turns_everything_off(monkeypatch):
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert costspan.enable() is None


def test_a_users_own_provider_is_added_to_and_stays_the_global_one(tmp_path):
    code = """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        mine = TracerProvider(); trace.set_tracer_provider(mine)
        import costspan
        assert costspan.enable().provider is mine is trace.get_tracer_provider()
        print("same")
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "same", done.stderr


def test_a_job_that_returns_leaves_its_record(tmp_path):
    assert run(program(tmp_path), tmp_path).returncode == 0
    (record,) = records(tmp_path)
    assert record["totals"]["usage"]["total_tokens"] == 1100


def test_a_job_that_raises_leaves_its_record(tmp_path):
    done = run(program(tmp_path, then="raise ValueError('mine')"), tmp_path)
    assert done.returncode == 1
    assert "ValueError: mine" in done.stderr
    (record,) = records(tmp_path)
    assert record["run"]["outcome"] == "error"


def test_a_job_that_is_left_open_at_exit_leaves_its_record_as_cancelled(tmp_path):
    path = tmp_path / "app.py"
    path.write_text(
        "import costspan; costspan.enable(); costspan.run('job').__enter__()\n"
        "costspan.record_call(model='gpt-4o', provider='openai', input_tokens=1000, output_tokens=100)\n"
    )
    run([sys.executable, str(path)], tmp_path)
    (record,) = records(tmp_path)
    assert (record["run"]["outcome"], record["totals"]["usage"]["total_tokens"]) == ("cancelled", 1100)


def test_a_job_told_to_terminate_under_costspan_run_leaves_its_record(tmp_path):
    words = [sys.executable, "-m", "costspan", "run", *program(tmp_path, enable="pass", then="time.sleep(30)")]
    env = {**os.environ, "COSTSPAN_RECORD_DIR": str(tmp_path / "records")}
    with subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().strip() == "ready"
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 143, errors
    (record,) = records(tmp_path)
    assert record["totals"]["usage"]["total_tokens"] == 1100
    assert "1,100" in errors  # and the summary was printed


def test_a_program_under_costspan_run_keeps_its_arguments_output_and_exit_code(tmp_path):
    path = tmp_path / "app.py"
    path.write_text("import sys; print(sys.argv[1:]); sys.exit(7)")
    done = run([sys.executable, "-m", "costspan", "run", "--", sys.executable, str(path), "--json", "x"], tmp_path)
    assert (done.returncode, done.stdout.strip()) == (7, "['--json', 'x']")


def test_a_program_that_is_not_there_is_named():
    done = subprocess.run(
        [sys.executable, "-m", "costspan", "run", "nothing-of-that-name"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "no such program: nothing-of-that-name" in done.stderr) == (2, True)


def test_a_users_own_sitecustomize_still_runs(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("print('mine')")
    words = [sys.executable, "-m", "costspan", "run", sys.executable, "-c", "print('app')"]
    done = run(words, tmp_path, PYTHONPATH=str(tmp_path))
    assert done.stdout.split()[-2:] == ["mine", "app"]  # the first `mine` is the command's own interpreter


def test_opentelemetry_instrument_switches_costspan_on(tmp_path):
    instrument = [str(Path(sys.executable).parent / "opentelemetry-instrument")]
    none = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    done = run([*instrument, *program(tmp_path, enable="pass")], tmp_path, **none)
    assert done.returncode == 0, done.stderr
    (record,) = records(tmp_path)
    assert record["totals"]["usage"]["total_tokens"] == 1100


def test_a_declarative_configuration_reaches_costspan(tmp_path):
    config = tmp_path / "otel.yaml"
    config.write_text(
        'file_format: "1.0"\ntracer_provider: {processors: [{simple: {exporter: {console: }}}]}\n'
        f"instrumentation/development:\n  python:\n    costspan: {{record_dir: '{tmp_path}/records'}}\n"
    )
    instrument = [str(Path(sys.executable).parent / "opentelemetry-instrument")]
    env = {**os.environ, "OTEL_CONFIG_FILE": str(config), "OTEL_METRICS_EXPORTER": "none"}
    words = [*instrument, *program(tmp_path, enable="pass")]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    (record,) = records(tmp_path)
    assert record["totals"]["usage"]["total_tokens"] == 1100, done.stderr


def test_spans_go_out_by_otlp_when_the_standard_variables_say_so(tmp_path, otlp_sink):
    done = run(program(tmp_path), tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=otlp_sink.url, OTEL_SERVICE_NAME="shop")
    assert done.returncode == 0, done.stderr
    names = {span.name for span in otlp_sink.spans()}
    assert names == {"invoke_workflow job", "invoke_agent writer", "chat gpt-4o"}
    assert otlp_sink.resource("service.name") == "shop"
    call = next(span for span in otlp_sink.spans() if span.name == "chat gpt-4o")
    attributes = {each.key: each.value for each in call.attributes}
    assert attributes["gen_ai.usage.cost.amount"].double_value == pytest.approx(0.0035)
    assert attributes["costspan.metered"].bool_value is True
    assert attributes["costspan.metered.road"].string_value == "otlp"
    assert otlp_sink.metric_sum("costspan.tokens") == 1100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_forked_inside_a_run_counts_its_own_calls_and_not_its_parents(tmp_path):
    then = """
        import os
        child = os.fork()
        costspan.record_call(model="gpt-4o", provider="openai", input_tokens=10, output_tokens=1)
        if child == 0: os._exit(0)
        os.waitpid(child, 0)
    """
    then = textwrap.indent(textwrap.dedent(then), "    " * 2).strip()
    done = run(program(tmp_path, then=then.replace("\n        ", "\n    ")), tmp_path)
    assert done.returncode == 0, done.stderr
    (record,) = records(tmp_path)
    assert record["totals"]["usage"]["total_tokens"] == 1111


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_what_forked_workers_do_inside_a_run_has_records_of_its_own_and_nothing_is_lost(tmp_path):
    path = tmp_path / "app.py"
    path.write_text(
        textwrap.dedent("""
            import multiprocessing
            import costspan
            costspan.enable()

            def work(number):
                with costspan.agent("worker"):
                    costspan.record_call(model="gpt-4o", provider="openai", input_tokens=number, output_tokens=0)

            if __name__ == "__main__":
                with costspan.run("batch"), costspan.agent("boss"):
                    costspan.record_call(model="gpt-4o", provider="openai", input_tokens=1000, output_tokens=0)
                    with multiprocessing.get_context("fork").Pool(2) as pool:
                        pool.map(work, [1, 20, 300], chunksize=1)
        """)
    )
    done = run([sys.executable, str(path)], tmp_path)
    assert done.returncode == 0, done.stderr
    found = {record["totals"]["usage"]["total_tokens"]: record for record in records(tmp_path)}
    assert sorted(found) == [1, 20, 300, 1000]
    assert len({record["run"]["id"] for record in found.values()}) == 4
    assert {record["run"]["workflow"] for record in found.values()} == {"batch"}
    assert found[1000]["notes"] == []
    assert {(*found[tokens]["notes"], found[tokens]["agents"][0]["name"]) for tokens in (1, 20, 300)} == {
        ("part of a run that another process has begun", "worker")
    }


@pytest.mark.parametrize("port", ["abc", 70_000, -1, True], ids=repr)
def test_a_port_that_is_none_is_refused_before_anything_is_switched_on(port):
    with pytest.raises(SettingsError, match="is no port: give a number from 0 to 65535"):
        costspan.enable(metrics="prometheus", metrics_port=port, summary=False)
    assert SWITCH.spans is None


@pytest.mark.parametrize("name", ["record_dir", "prices", "history"])
def test_a_path_that_is_none_is_refused_before_anything_is_switched_on(name):
    with pytest.raises(SettingsError, match=f"{name}=5 is no path"):
        costspan.enable(**{name: 5})
    assert SWITCH.spans is None


def test_a_path_in_the_code_may_begin_in_the_users_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with measure(record_dir="~/records"), costspan.run("report"):
        pass
    assert [path.suffix for path in (tmp_path / "records").iterdir()] == [".json"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_forked_workers_end_with_everything_told_sent_and_kept(tmp_path, otlp_sink):
    path = tmp_path / "app.py"
    path.write_text(
        textwrap.dedent("""
            import multiprocessing
            import costspan
            costspan.enable(history=HISTORY)

            def work():
                costspan.record_call(model="gpt-4o", provider="openai", input_tokens=7, output_tokens=0)
                with costspan.run("part"), costspan.agent("worker"):
                    costspan.record_call(model="gpt-4o-mini", provider="openai", input_tokens=11, output_tokens=0)

            if __name__ == "__main__":
                worker = multiprocessing.get_context("fork").Process(target=work)
                worker.start()
                worker.join()
                assert worker.exitcode == 0
        """).replace("HISTORY", repr(str(tmp_path / "history.db")))
    )
    done = run([sys.executable, str(path)], tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=otlp_sink.url)
    assert done.returncode == 0, done.stderr
    assert "calls outside of any run: 1 call" in done.stderr
    assert {span.name for span in otlp_sink.spans()} >= {"chat gpt-4o", "chat gpt-4o-mini", "invoke_workflow part"}
    assert otlp_sink.metric_sum("costspan.tokens") == 18
    from costspan.history.database import Database
    from costspan.history.run_queries import runs

    with Database(tmp_path / "history.db").reading() as db:
        assert [row.workflow for row in runs(db)] == ["part"]


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_a_program_ended_by_ctrl_c_dies_of_it_as_without_us_and_has_its_summary(tmp_path):
    interrupt = "import os, signal; os.kill(os.getpid(), signal.SIGINT); time.sleep(10)"
    done = run(program(tmp_path, enable="costspan.enable(summary=True)", then=interrupt), tmp_path)
    assert done.returncode == -signal.SIGINT
    assert "100 % reported and priced" in done.stderr
    assert [record["run"]["outcome"] for record in records(tmp_path)] == ["cancelled"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_forked_while_the_price_table_loads_does_not_wait_for_ever(tmp_path):
    path = tmp_path / "app.py"
    path.write_text(
        textwrap.dedent("""
            import os, signal
            import costspan
            costspan.enable()
            with costspan.run("batch"), costspan.agent("worker"):
                children = [os.fork()]  # the run has just begun: a thread of ours reads the price table
                if children == [0]:
                    signal.alarm(20)
                    costspan.record_call(model="gpt-4o", provider="openai", input_tokens=1000, output_tokens=100)
                    os._exit(0)
                assert os.waitpid(children[0], 0)[1] == 0
        """)
    )
    for _ in range(3):
        done = run([sys.executable, str(path)], tmp_path)
        assert done.returncode == 0, done.stderr


def test_an_unwritable_record_folder_costs_one_line_and_nothing_else(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    done = run(program(tmp_path), tmp_path, COSTSPAN_RECORD_DIR=str(blocked / "records"))
    assert done.returncode == 0
    assert len([line for line in done.stderr.splitlines() if "costspan" in line]) == 1, done.stderr


def test_a_broken_price_file_costs_one_line_and_the_table_still_prices(tmp_path):
    broken = tmp_path / "prices.json"
    broken.write_text("{")
    done = run(program(tmp_path), tmp_path, COSTSPAN_PRICES=str(broken))
    assert done.returncode == 0
    assert str(broken) in done.stderr
    (record,) = records(tmp_path)
    assert record["totals"]["cost"]["amount_usd"] is not None


def test_a_taken_port_costs_one_line_that_names_the_process(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        env = {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_EXPORTER_PROMETHEUS_PORT": port}
        done = run(program(tmp_path), tmp_path, **env)
    assert done.returncode == 0
    (line,) = [line for line in done.stderr.splitlines() if "costspan" in line]
    assert port in line
    assert "app.py" in line


def test_a_clock_that_jumps_back_gives_no_negative_duration(seen, monkeypatch):
    times = iter([2_000_000_000_000_000_000, 1_000_000_000_000_000_000] * 20)
    monkeypatch.setattr(time, "time_ns", lambda: next(times))
    with costspan.run("job"):
        costspan.record_call(model="gpt-4o", provider="openai", input_tokens=10, output_tokens=1)
    monkeypatch.undo()
    assert seen.runs[0].duration_seconds >= 0
    assert seen.tokens() == 11
