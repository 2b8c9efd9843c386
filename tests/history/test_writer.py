"""The history of a living program: never in its way, whatever happens to the file."""

from __future__ import annotations

import os
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider

import costspan
from costspan import guard, settings
from costspan.errors import HistoryError
from costspan.history import queries, run_queries, upkeep
from costspan.history import writer as writer_module
from costspan.history.database import Database
from costspan.history.writer import Writer
from history_parts import make_run

RUN = make_run()


def listed(path):
    database = Database(path, write=False)
    with database.reading() as db:
        found = run_queries.runs(db, limit=5000)
    database.close()
    return found


def numbered(number):
    return replace(RUN, id=f"run-{number}")


@pytest.fixture(autouse=True)
def _quiet():
    guard.reset()
    yield
    guard.reset()


def test_finished_runs_are_written_in_the_background(tmp_path):
    sink = Writer(tmp_path / "history.db", service="shop", environment="prod")
    for number in range(5):
        sink(numbered(number))
    assert sink.flush(30)
    assert {(row.id, row.service, row.environment) for row in listed(tmp_path / "history.db")} == {
        (f"run-{number}", "shop", "prod") for number in range(5)
    }
    sink.stop()


def test_a_sink_that_gets_no_run_opens_nothing(tmp_path):
    sink = Writer(tmp_path / "history.db")
    sink.stop()
    assert list(tmp_path.iterdir()) == []


def test_a_full_queue_drops_and_counts_without_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr(writer_module, "RUNS_MAX", 10)
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr("costspan.history.database.BUSY_SECONDS", 0.1)
    path = tmp_path / "history.db"
    Database(path).close()
    holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    sink = Writer(path)
    slowest = 0.0
    for number in range(200):
        began = time.perf_counter()
        sink(numbered(number))
        slowest = max(slowest, time.perf_counter() - began)
    assert slowest < 0.5
    assert sink.dropped > 100
    holder.execute("ROLLBACK")
    assert sink.flush(30)
    sink(numbered(999))
    assert sink.flush(30)
    database = Database(path)
    found = upkeep.info(database)
    assert found.dropped == {"in process": sink.dropped}
    assert found.runs + sink.dropped == 201
    sink.stop()


def test_a_file_that_cannot_be_used_is_one_warning(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", 0.05)
    (tmp_path / "history.db").write_bytes(b"no database" * 999)
    sink = Writer(tmp_path / "history.db")
    for number in range(3):
        sink(numbered(number))
        time.sleep(0.1)
    sink.stop(0.2)
    assert sum("is damaged" in line for line in caplog.messages) == 1
    assert any("3 runs could not be written" in line for line in caplog.messages)


def test_a_file_that_was_deleted_is_begun_again(tmp_path):
    path = tmp_path / "history.db"
    sink = Writer(path)
    sink(numbered(1))
    assert sink.flush(30)
    for file in tmp_path.iterdir():
        file.unlink()
    sink(numbered(2))
    assert sink.flush(30)
    assert [row.id for row in listed(path)] == ["run-2"]
    sink.stop()


def test_a_forked_child_writes_its_own_runs_once(tmp_path):
    path = tmp_path / "history.db"
    sink = Writer(path)
    sink(numbered(1))
    assert sink.flush(30)
    child = os.fork()
    if child == 0:
        sink(numbered(2))
        ok = sink.flush(30)
        sink.stop()
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    sink(numbered(3))
    assert sink.flush(30)
    sink.stop()
    assert sorted(row.id for row in listed(path)) == ["run-1", "run-2", "run-3"]


def test_enable_keeps_each_finished_run(tmp_path, provider):
    import openai

    path = tmp_path / "history.db"
    tracers = TracerProvider(resource=Resource.create({"service.name": "shop"}), shutdown_on_exit=False)
    costspan.enable(tracer_provider=tracers, summary=False, history=path)
    try:
        client = openai.OpenAI(base_url=provider.openai_url, api_key="none")
        with costspan.run("checkout"):
            client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hello"}])
    finally:
        costspan.disable()
    (row,) = listed(path)
    (billed,) = [entry.usage for entry in provider.log]
    assert (row.workflow, row.service, row.sums.input_tokens) == ("checkout", "shop", billed.input_tokens)
    with Database(path).reading() as db:
        assert queries.total(db).cost_nano == row.sums.cost_nano > 0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", None),
        ("off", None),
        ("no", None),
        ("on", "/data/costspan/history.db"),
        ("1", "/data/costspan/history.db"),
        ("/x/y.db", "/x/y.db"),
    ],
)
def test_the_variable_names_a_file_or_switches_the_usual_one_on(value, expected):
    found = settings.read({"COSTSPAN_HISTORY": value, "XDG_DATA_HOME": "/data"}).history
    assert found == (None if expected is None else Path(expected))


def test_the_usual_place_is_the_platforms_data_folder(monkeypatch):
    monkeypatch.setattr("sys.platform", "linux")
    assert settings.history_path({}) == Path.home() / ".local/share/costspan/history.db"
    assert settings.history_path({"XDG_DATA_HOME": "/data"}) == Path("/data/costspan/history.db")
    monkeypatch.setattr("sys.platform", "darwin")
    assert settings.history_path({}) == Path.home() / "Library/Application Support/costspan/history.db"


def test_reading_a_history_that_is_not_there_says_how_to_begin_one(tmp_path):
    with pytest.raises(HistoryError, match="COSTSPAN_HISTORY=on"):
        Database(tmp_path / "none.db", create=False, write=False)
