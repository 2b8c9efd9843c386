"""The history file: where it is, how it is opened, and one clear line for whatever is wrong with it.

Any number of processes may write and read at once: SQLite's write-ahead log, one writer at a time, others wait up to ten
seconds. What was committed survives the death of the process; with `durable` (synchronous=FULL) also a power cut.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from costspan.errors import HistoryError, OlderHistoryError
from costspan.history.schema import STEPS, VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_SECONDS: Final = 10.0
READERS_KEPT: Final = 8
_APPLICATION_ID: Final = 0x636F7374  # "cost"


class Database:
    """One history file. Methods may be called from any thread; raises HistoryError with a line that says what to do.

    `create` False: the file must be there. `write` False: nothing is created or changed, not even an older schema.
    """

    def __init__(self, path: Path, *, create: bool = True, write: bool = True, durable: bool = False) -> None:
        self.path = path
        self._durable = durable
        self._lock = threading.Lock()
        self._readers: list[sqlite3.Connection] = []
        self._immutable = False
        self._writer: sqlite3.Connection | None = None
        self._closed = False
        if not create and not path.is_file():
            message = f"there is no history at {path}: `costspan serve` or COSTSPAN_HISTORY=on begins one, --db names another"
            raise HistoryError(message)
        with told(path):
            if write:
                self._writer = self._open_writer()
            else:
                self._check_readable()

    # --- writing -------------------------------------------------------------------------------------
    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: committed at the end, undone if anything raises. One at a time in this process."""
        with self._lock:
            if self._writer is None:
                message = f"{self.path} was opened for reading only"
                raise HistoryError(message)
            with told(self.path):
                self._writer.execute("BEGIN IMMEDIATE")
                try:
                    yield self._writer
                    self._writer.execute("COMMIT")
                except BaseException:
                    if self._writer.in_transaction:  # a full disk has ended it already
                        self._writer.execute("ROLLBACK")
                    raise

    @contextmanager
    def outside_transaction(self) -> Iterator[sqlite3.Connection]:
        """The writing connection for what SQLite does not allow inside a transaction (VACUUM, checkpoints)."""
        with self._lock, told(self.path):
            if self._writer is None:
                message = f"{self.path} was opened for reading only"
                raise HistoryError(message)
            yield self._writer

    def _open_writer(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = not self.path.exists()
        if fresh:
            # Names of agents and workflows are nobody else's business.
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        db = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            _to_wal(db)
            db.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
            db.execute("PRAGMA cache_size = -16000")
            db.execute("PRAGMA journal_size_limit = 67108864")
            upgrade(db, self.path)
        except BaseException:
            db.close()
            raise
        return db

    # --- reading -------------------------------------------------------------------------------------
    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own that can only read; it sees what is committed, and never waits for a writer."""
        with told(self.path):
            try:
                db = self._readers.pop()
            except IndexError:
                db = self._open_reader()
            try:
                yield db
            except sqlite3.DatabaseError:
                db.close()
                raise
            except BaseException:
                self._give_back(db)
                raise
            self._give_back(db)

    def _give_back(self, db: sqlite3.Connection) -> None:
        if self._closed or len(self._readers) >= READERS_KEPT:
            db.close()
        else:
            self._readers.append(db)

    def _open_reader(self) -> sqlite3.Connection:
        name = self.path.absolute().as_uri() + ("?immutable=1" if self._immutable else "?mode=ro")
        db = sqlite3.connect(name, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        db.execute("PRAGMA query_only = ON")
        db.execute("PRAGMA cache_size = -8000")
        return db

    def _check_readable(self) -> None:
        try:
            db = self._open_reader()
            version = version_of(db)
        except sqlite3.OperationalError:
            # In a folder that cannot be written to there is no room for the log's index; without a log there is no need of one.
            if self.path.with_name(self.path.name + "-wal").exists() or not os.access(self.path, os.R_OK):
                raise
            self._immutable = True
            db = self._open_reader()
            version = version_of(db)
        _refuse_newer(version, self.path)
        self._readers.append(db)
        if version < VERSION:
            message = (
                f"{self.path} is of an older costspan (schema {version}, not {VERSION}): `costspan db info` brings it up to date"
            )
            raise OlderHistoryError(message)

    def close(self) -> None:
        """Close every connection. May be called twice."""
        self._closed = True
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
        while self._readers:
            self._readers.pop().close()


def version_of(db: sqlite3.Connection) -> int:
    """The number of steps that the file has gone through."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def upgrade(db: sqlite3.Connection, path: Path) -> None:
    """Bring an older file up to this version, whole or not at all. Raises HistoryError for a newer one, or a strange one."""
    version = version_of(db)
    _refuse_newer(version, path)
    if version == VERSION:
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        version = version_of(db)  # another process may have been quicker
        _refuse_newer(version, path)
        if version == 0 and db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            message = f"{path} is a SQLite file of some other program: name another file with --db or COSTSPAN_HISTORY"
            raise HistoryError(message)
        for step in STEPS[version:]:
            for statement in step:
                db.execute(statement)
        db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _refuse_newer(version: int, path: Path) -> None:
    if version > VERSION:
        message = (
            f"{path} was written by a newer costspan (schema {version}, this one knows {VERSION}): "
            "update costspan, or name another file with --db or COSTSPAN_HISTORY"
        )
        raise HistoryError(message)


def _to_wal(db: sqlite3.Connection) -> None:
    """Switch the log on. The one switch needs the file for itself, and does not wait for it by itself."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname != "SQLITE_BUSY" or time.monotonic() > until:
                raise
            time.sleep(0.02)
            continue
        if mode != "wal" and time.monotonic() > until:
            message = "the file system does not allow a write-ahead log (a network share?)"
            raise sqlite3.OperationalError(message)
        if mode == "wal":
            return
        time.sleep(0.02)


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say into one line that says what to do."""
    try:
        yield
    except sqlite3.Error as error:
        raise HistoryError(_line(path, error)) from error
    except OSError as error:
        if isinstance(error, ConnectionError | TimeoutError):
            raise
        message = f"the history {path} cannot be used ({error.strerror or error}): {_ELSEWHERE}"
        raise HistoryError(message) from error


_ELSEWHERE: Final = "name another file with --db or COSTSPAN_HISTORY"
_LINES: Final = (
    (
        ("SQLITE_FULL", "SQLITE_IOERR"),
        "cannot be written ({text}), what was written before is safe: make room on its disk or limit it (--keep-days, --keep-mb)",
    ),
    (
        ("SQLITE_BUSY", "SQLITE_LOCKED"),
        f"has been locked by another program for {BUSY_SECONDS:.0f} seconds ({{text}}): end the one that holds it",
    ),
    (
        ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH"),
        f"cannot be opened for this ({{text}}): give this user the right to write to it and its folder, or {_ELSEWHERE}",
    ),
    (
        ("SQLITE_CORRUPT", "SQLITE_NOTADB"),
        "is damaged ({text}): move it away and a new one is begun; `sqlite3 FILE .recover` may save its contents",
    ),
)


def _line(path: Path, error: sqlite3.Error) -> str:
    name = str(getattr(error, "sqlite_errorname", "") or "")
    for beginnings, line in _LINES:
        if name.startswith(beginnings):
            return f"the history {path} {line.format(text=error)}"
    return f"the history {path} cannot be used ({error})"
