"""The file: older and newer schemas, damage, locks, missing rights, full disks, and several processes at once."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest

from costspan.errors import HistoryError
from costspan.history import database as database_module
from costspan.history import queries, run_queries, upkeep
from costspan.history.database import Database
from costspan.history.retention import trim
from costspan.history.schema import STEPS, VERSION
from costspan.history.store import Store
from history_parts import entry

TESTS = Path(__file__).parents[1]


def total(database):
    with database.reading() as db:
        return queries.total(db)


def test_the_file_is_for_its_owner_alone(tmp_path):
    Database(tmp_path / "deep" / "history.db").close()
    assert (tmp_path / "deep" / "history.db").stat().st_mode & 0o077 == 0
    assert (tmp_path / "deep").stat().st_mode & 0o077 == 0


def test_an_older_file_is_brought_up_to_date_with_its_sums(tmp_path):
    path = tmp_path / "history.db"
    store = Store(Database(path))
    store.save([entry(1), entry(2, at=90_000, calls=3)])
    expected = total(store.database)
    store.database.close()
    with sqlite3.connect(path) as db:  # as the first version left it: without sums by day
        db.execute("DROP TABLE days")
        db.execute("DROP TABLE tool_days")
        db.execute("DROP INDEX calls_lacking")
        db.execute("PRAGMA user_version = 1")
    db.close()
    with pytest.raises(HistoryError, match="older costspan"):
        Database(path, write=False)
    database = Database(path)
    assert total(database) == expected
    with database.reading() as db:
        assert sum(row.calls for row in queries.tools(db)) == 2
        assert db.execute("PRAGMA user_version").fetchone() == (VERSION,)
    database.close()


def test_an_upgrade_happens_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "history.db"
    Database(path).close()
    monkeypatch.setattr(database_module, "STEPS", (*STEPS, ("CREATE TABLE more (a)", "CREATE TABLE names (a)")))
    monkeypatch.setattr(database_module, "VERSION", VERSION + 1)
    with pytest.raises(HistoryError):
        Database(path)
    monkeypatch.undo()
    Database(path).close()
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'more'").fetchone() == (0,)
    db.close()


@pytest.mark.parametrize("write", [True, False])
def test_a_newer_file_is_refused_and_left_alone(tmp_path, write):
    path = tmp_path / "history.db"
    Database(path).close()
    with sqlite3.connect(path) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    db.close()
    with pytest.raises(HistoryError, match="newer costspan.*update costspan"):
        Database(path, write=write)


def test_a_file_of_another_program_is_refused(tmp_path):
    path = tmp_path / "history.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE bookmarks (a)")
    db.close()
    with pytest.raises(HistoryError, match="other program"):
        Database(path)


def test_damage_is_one_clear_line(tmp_path):
    path = tmp_path / "history.db"
    path.write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(HistoryError, match="is damaged.*move it away"):
        Database(path)
    path.unlink()
    store = Store(Database(path))
    store.save([entry(trace, at=trace) for trace in range(1, 40)])
    upkeep.vacuum(store.database)
    store.database.close()
    data = bytearray(path.read_bytes())
    for place in range(8192, len(data), 4096):
        data[place : place + 64] = os.urandom(64)
    path.write_bytes(bytes(data))
    with pytest.raises(HistoryError, match="damaged"):
        damaged = Database(path)
        assert upkeep.check(damaged) == []
        total(damaged)


def test_a_file_that_is_missing_is_not_made_by_reading(tmp_path):
    with pytest.raises(HistoryError, match="there is no history"):
        Database(tmp_path / "history.db", create=False, write=False)
    assert list(tmp_path.iterdir()) == []


def test_a_locked_file_is_one_clear_line_and_nothing_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(database_module, "BUSY_SECONDS", 0.3)
    store = Store(Database(tmp_path / "history.db"))
    holder = sqlite3.connect(tmp_path / "history.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(HistoryError, match="locked by another program"):
        store.save([entry(1)])
    with store.database.reading() as db:  # reading goes on
        assert queries.total(db).calls == 0
    holder.execute("ROLLBACK")
    store.save([entry(1)])
    assert total(store.database).calls == 2
    holder.close()


def test_a_folder_that_cannot_be_written_to_can_be_read_from():
    """As a user without rights, into whom the child changes once it has loaded what it needs."""
    folder = Path(tempfile.mkdtemp(prefix="costspan-"))
    store = Store(Database(folder / "history.db"))
    store.save([entry(1)])
    store.database.close()
    (folder / "history.db").chmod(0o444)
    folder.chmod(0o555)
    code = """
        import os, sys, urllib.parse  # as_uri() loads it later, from where nobody may read
        from pathlib import Path
        from costspan.errors import HistoryError
        from costspan.history import queries
        from costspan.history.database import Database
        if os.geteuid() == 0:
            os.setgid(65534), os.setuid(65534)
        path = Path(sys.argv[1])
        with Database(path, write=False).reading() as db:
            print(queries.total(db).calls)
        try:
            Database(path)
        except HistoryError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(folder / "history.db")]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    folder.chmod(0o755)
    shutil.rmtree(folder)
    count, line = answer.stdout.splitlines()
    assert count == "2", answer.stderr
    assert "cannot be opened" in line
    assert "right to write" in line


def test_a_full_disk_refuses_the_batch_and_keeps_what_was_there(tmp_path):
    """A limit on the size of files stands for the disk."""
    code = f"""
        import resource, signal, sys
        sys.path[:0] = [{str(TESTS)!r}]
        from pathlib import Path
        from history_parts import entry
        from costspan.errors import HistoryError
        from costspan.history import queries, upkeep
        from costspan.history.database import Database
        from costspan.history.store import Store
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        store = Store(Database(Path(sys.argv[1])))
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        written = 0
        try:
            for trace in range(1, 5000):
                store.save([entry(trace, at=trace, calls=4)])
                written += 1
        except HistoryError as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        store.save([entry(6000, at=1, calls=1)])
        with store.database.reading() as db:
            print(queries.total(db).calls == written * 4 + 1, upkeep.check(store.database))
    """
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "history.db")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    line, verdict = found.stdout.splitlines()
    assert "cannot be written" in line
    assert "make room on its disk" in line
    assert verdict == "True []", found.stderr


WRITER = f"""
import sys
sys.path[:0] = [{str(TESTS)!r}]
from pathlib import Path
from history_parts import entry
from costspan.history.database import Database
from costspan.history.store import Store
store = Store(Database(Path(sys.argv[1])))
number = int(sys.argv[2])
for turn in range(int(sys.argv[3])):
    store.save([entry(number * 10_000 + turn + 1, at=turn, calls=2, name=f"writer {{number}}")])
    print(turn, flush=True)
"""


def start_writer(path, number, turns):
    return subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(number), str(turns)], stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_sixteen_writers_at_once_lose_nothing(tmp_path):
    path = tmp_path / "history.db"
    writers = [start_writer(path, number, 12) for number in range(1, 17)]
    for writer in writers:
        writer.communicate(timeout=280)
    assert [writer.returncode for writer in writers] == [0] * 16
    database = Database(path)
    assert total(database).calls == 16 * 12 * 2
    with database.reading() as db:
        assert run_queries.count_runs(db) == 16 * 12
    assert upkeep.check(database) == []


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_writer_killed_at_any_moment_loses_nothing_that_was_said_to_be_written(tmp_path):
    path = tmp_path / "history.db"
    Database(path).close()
    said = 0
    for round_ in range(1, 9):
        writer = start_writer(path, round_, 10_000)
        writer.stdout.readline()
        time.sleep(0.01 + 0.037 * (round_ % 5))
        writer.kill()
        said += 1 + len(writer.stdout.read().split("\n")) - 1
        writer.wait()
        database = Database(path)
        with database.reading() as db:
            count = run_queries.count_runs(db)
        # What was written and killed before it could be said may be there too: one for each killed writer.
        assert said <= count <= said + round_
        assert upkeep.check(database) == []
        database.close()


def test_retention_removes_the_old_and_keeps_daily_sums(tmp_path):
    store = Store(Database(tmp_path / "history.db"))
    store.save([entry(trace, at=trace * 86_400, calls=2) for trace in range(1, 11)])
    before = total(store.database)
    now = 1_795_302_362_000_000_000 + 10 * 86_400 * 10**9
    while trim(store.database, days=4, now_ns=now):
        pass
    with store.database.reading() as db:
        assert run_queries.count_runs(db) == 5
        assert queries.total(db) == before
        assert len(queries.by(db, ("hour",))) == 5
    assert upkeep.check(store.database) == []


def test_retention_by_size_removes_the_oldest_until_it_fits(tmp_path):
    store = Store(Database(tmp_path / "history.db"))
    for trace in range(1, 200):
        store.save([entry(trace, at=trace, calls=8)])
    upkeep.vacuum(store.database)
    size = upkeep.info(store.database).bytes
    upkeep.vacuum(store.database, bytes_max=size * 2 // 3)
    found = upkeep.info(store.database)
    assert found.bytes < size * 3 // 4
    with store.database.reading() as db:
        left = run_queries.runs(db, limit=1000)
    assert 0 < len(left) < 199
    assert min(row.started_ns for row in left) > 1_795_302_362_000_000_000 + 10 * 10**9
