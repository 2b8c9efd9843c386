"""`costspan runs`, `show`, `report --since` and `db`: what people and programs get of the history."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from costspan.cli import build
from costspan.errors import HistoryError, UsageError
from costspan.history.database import Database
from costspan.history.moments import moment
from costspan.history.store import Store
from history_parts import START, entry

SECOND = 10**9


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    found = tmp_path_factory.mktemp("cli") / "history.db"
    store = Store(Database(found))
    now = (time.time_ns() - START) / SECOND
    store.save(
        [entry(1, at=now - 40 * 86_400, name="old"), entry(2, at=now - 3_600, calls=3), entry(3, at=now - 600, model="gpt-4o")]
    )
    store.database.close()
    return found


def call(path, *args):
    answer = CliRunner().invoke(build(), [*args, "--db", str(path)], catch_exceptions=True)
    if answer.exception is not None and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    return answer


def test_runs_are_listed_the_newest_first(path):
    lines = call(path, "runs").stdout.splitlines()
    assert lines[0].split()[:3] == ["run", "started", "workflow"]
    assert [line.split()[3] for line in lines[1:]] == ["pipeline", "pipeline", "old"]


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_no_terminal_cuts_a_figure_of_the_list_of_runs(tmp_path, columns):
    file = tmp_path / "history.db"
    store = Store(Database(file))
    for number in (1, 2):
        store.save([entry(number, calls=3, tokens=(987_654 * number, 45_678), name="weekly-report-of-everything")])
    store.database.close()
    wide = call(file, "runs").stdout.splitlines()[1:]
    table = on_terminal(columns, "runs", "--db", str(file))
    narrow = [found for found in table if re.search(r"\d{4}-\d{2}-\d{2}", found)]
    assert len(wide) == len(narrow) == 2
    for line, shown in zip(wide, narrow, strict=True):
        # Input, output, cost and the share, which is two words.
        assert shown.split()[-5:] == line.split()[-5:]
    assert (table[-1] == "no room for seconds, calls, outcome: --json and --csv have everything") is (columns < 120)
    assert all(len(found) <= max(columns, 80) for found in table)


def on_terminal(columns, *args):
    """The lines that a terminal of so many columns gets."""
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"}
    command = (sys.executable, "-c", "from costspan.cli import main; main()", *args)
    subprocess.run(command, stdin=theirs, stdout=theirs, env=environment, check=True)
    os.close(theirs)
    text = os.read(ours, 65_536).decode()
    os.close(ours)
    return [line.rstrip() for line in re.sub(r"\x1b\[[\d;]*m", "", text).splitlines()]


def test_runs_as_json_and_csv_have_exact_money(path):
    found = json.loads(call(path, "runs", "--json", "--since", "7d").stdout)
    assert [(run["calls"], run["cost_usd"]) for run in found] == [(2, "0.007000000"), (3, "0.001350000")]
    rows = list(csv.DictReader(io.StringIO(call(path, "runs", "--csv", "-q", "old").stdout)))
    assert [row["workflow"] for row in rows] == ["old"]


def test_show_prints_a_run_and_gives_its_record(path):
    text = call(path, "show", "last").stdout
    assert "planner" in text
    record = json.loads(call(path, "show", "last", "--json").stdout)
    assert record["totals"]["calls"] == 2
    again = json.loads(call(path, "show", record["run"]["id"][:33], "--json").stdout)
    assert again == record


def test_show_of_an_unknown_run_says_how_to_find_one(path):
    answer = call(path, "show", "no-such-run")
    assert answer.exit_code == 1
    assert "costspan runs" in answer.stderr


def test_report_groups_the_history(path):
    rows = list(csv.DictReader(io.StringIO(call(path, "report", "--since", "7d", "--by", "agent,model", "--csv").stdout)))
    assert {(row["agent"], row["model"], row["calls"]) for row in rows} == {
        ("planner", "gpt-4o", "2"),
        ("planner", "gpt-5-mini", "3"),
    }
    found = json.loads(call(path, "report", "--by", "day,model", "--json").stdout)
    assert found["totals"]["calls"] == 7
    assert found["totals"]["runs"] == 3
    assert sum(group["calls"] for group in found["groups"]) == 7
    assert "total" in call(path, "report", "--since", "60d").stdout


def test_report_keeps_files_and_history_apart(path):
    with pytest.raises(UsageError, match="leave the files out"):
        call(path, "report", "trace.json", "--since", "7d")
    with pytest.raises(UsageError, match="--by knows"):
        call(path, "report", "--by", "colour")


def test_db_info_tells_size_and_contents(path):
    found = json.loads(call(path, "db", "info", "--json", "--check").stdout)
    assert (found["runs"], found["calls"], found["problems"]) == (3, 7, [])
    assert call(path, "db", "info", "--check").stdout.rstrip().endswith("sound")


def test_db_export_gives_everything_out_a_line_each(path):
    records = [json.loads(line) for line in call(path, "db", "export").stdout.splitlines()]
    assert [record["run"]["workflow"] for record in records] == ["old", "pipeline", "pipeline"]
    calls = [json.loads(line) for line in call(path, "db", "export", "calls", "--since", "7d").stdout.splitlines()]
    assert len(calls) == 5
    assert calls[0]["agent"] == "planner"
    assert calls[0]["cost_usd"] == "0.000450000"
    with pytest.raises(UsageError, match="export knows runs, calls, spans"):
        call(path, "db", "export", "everything")


def test_db_vacuum_removes_what_is_old(path, tmp_path):
    copy = tmp_path / "copy.db"
    copy.write_bytes(path.read_bytes())
    call(copy, "db", "vacuum", "--keep-days", "7")
    assert len(json.loads(call(copy, "runs", "--json").stdout)) == 2
    assert json.loads(call(copy, "report", "--json").stdout)["totals"]["calls"] == 7


def test_without_a_history_the_commands_say_how_to_begin_one(tmp_path):
    with pytest.raises(HistoryError, match="there is no history"):
        call(tmp_path / "none.db", "runs")


def test_moments_are_read_as_people_write_them():
    now = 1_000_000 * SECOND
    assert moment("2h", option="--since", now_ns=now) == now - 7200 * SECOND
    assert moment("1970-01-02", option="--since") == 86_400 * SECOND
    assert moment("1970-01-02T01:00+01:00", option="--since") == 86_400 * SECOND
    assert moment("9999w", option="--since", now_ns=now) == 0
    with pytest.raises(UsageError, match="--since 'soon' is no moment"):
        moment("soon", option="--since")


def test_a_history_of_an_older_costspan_is_brought_up_to_date_by_asking_it(tmp_path):
    store = Store(Database(tmp_path / "history.db"))
    store.save([entry(1)])
    with store.database.outside_transaction() as db:
        db.execute("DROP INDEX calls_lacking")
        db.execute("PRAGMA user_version = 2")
    store.database.close()
    assert "pipeline" in call(tmp_path / "history.db", "runs").stdout
    assert Database(tmp_path / "history.db", write=False).path.is_file()


def test_where_nothing_fits_it_is_said_what_there_is_none_of(path):
    assert call(path, "runs", "--lone").stderr == "no calls without a run in the history fit\n"
    assert call(path, "runs", "-q", "nobody").stderr == "no runs in the history fit\n"
