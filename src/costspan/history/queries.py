"""Questions to the history. Every function takes an open connection (`Database.reading()`) and answers with `rows`.

Times are nanoseconds since the epoch; `since_ns` is inclusive, `until_ns` is not. Sums over time come from the hourly and
daily figures, so a range is widened to whole UTC days (to whole hours where days of another zone or hours are asked for).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from costspan.errors import UsageError
from costspan.history.money import from_nano
from costspan.history.rows import Group, ModelRow, Sums, ToolRow
from costspan.history.schema import DIMS, MEASURES, TOOL_MEASURES

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

KEYS: Final = ("day", "hour", *DIMS)
"""What figures can be grouped by. `tool` is the tool inside which a call was made."""
HOUR_NS: Final = 3_600 * 10**9
DAY_NS: Final = 24 * HOUR_NS
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SUMS: Final = ", ".join(f"sum(f.{name})" for name in MEASURES)


def total(
    db: sqlite3.Connection, *, since_ns: int | None = None, until_ns: int | None = None, where: Mapping[str, str] | None = None
) -> Sums:
    """The figures of all calls in the range; `where` narrows by names of `schema.DIMS`, for example {"model": "gpt-5"}."""
    groups = by(db, (), since_ns=since_ns, until_ns=until_ns, where=where)
    return groups[0].sums if groups else Sums()


def by(
    db: sqlite3.Connection,
    keys: Sequence[str],
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    where: Mapping[str, str] | None = None,
    offset_hours: int = 0,
) -> list[Group]:
    """The figures by any of `KEYS`: `by(db, ("day", "model"))`. In order of time if a time is asked for, else the dearest first.

    A day is written `2026-11-22`, an hour `2026-11-22T14`; both are of UTC, or of the zone `offset_hours` east of it.
    Raises UsageError for an unknown key.
    """
    _check((*keys, *(where or ())))
    fine = "hour" in keys or bool(offset_hours)
    table, unit, length = ("hours", "hour", HOUR_NS) if fine else ("days", "day", DAY_NS)
    columns = [_key_column(key, unit, offset_hours if fine else 0) for key in keys]
    conditions, values = _time_range(f"f.{unit}", length, since_ns, until_ns)
    for name, value in (where or {}).items():
        conditions.append(f"d.{name} = coalesce((SELECT id FROM names WHERE text = ?), -1)")
        values.append(value)
    places = ", ".join(str(place + 1) for place in range(len(keys)))
    sql = (
        f"SELECT {', '.join([*columns, _SUMS])} FROM {table} f JOIN dims d ON d.id = f.dim"
        f"{' WHERE ' + ' AND '.join(conditions) if conditions else ''}{f' GROUP BY {places}' if keys else ''}"
    )
    found = db.execute(sql, values).fetchall()
    texts = texts_of(db, {row[place] for row in found for place, key in enumerate(keys) if key in DIMS})
    groups = [
        Group(tuple(_key(key, row[place], texts) for place, key in enumerate(keys)), Sums(*row[len(keys) :]))
        for row in found
        if row[len(keys)] is not None
    ]
    in_time = "day" in keys or "hour" in keys
    return sorted(groups, key=_in_order if in_time else _dearest_first)


def tools(
    db: sqlite3.Connection, *, since_ns: int | None = None, until_ns: int | None = None, workflow: str | None = None
) -> list[ToolRow]:
    """The tool bill by service, workflow and tool over whole UTC days, the one with most calls first."""
    conditions, values = _time_range("day", DAY_NS, since_ns, until_ns)
    if workflow is not None:
        conditions.append("workflow = coalesce((SELECT id FROM names WHERE text = ?), -1)")
        values.append(workflow)
    sums = ", ".join(f"sum({name})" for name in TOOL_MEASURES)
    found = db.execute(
        f"SELECT service, workflow, tool, {sums} FROM tool_days"
        f"{' WHERE ' + ' AND '.join(conditions) if conditions else ''} GROUP BY 1, 2, 3 HAVING sum(calls) > 0 ORDER BY 4 DESC, 3",
        values,
    ).fetchall()
    texts = texts_of(db, {part for row in found for part in row[:3]})
    return [ToolRow(texts.get(row[0]), texts.get(row[1]), texts.get(row[2]) or "", *row[3:6], *_priced(row[6:])) for row in found]


def models(db: sqlite3.Connection, *, since_ns: int | None = None, until_ns: int | None = None) -> list[ModelRow]:
    """Every (provider, model) that was called in the range: those with unpriced calls first, then the dearest first."""
    found: dict[tuple[str | None, str | None], list[Group]] = {}
    for group in by(db, ("provider", "model", "price_ref", "price_source", "day"), since_ns=since_ns, until_ns=until_ns):
        found.setdefault((group.key[0], group.key[1]), []).append(group)
    rows = [
        ModelRow(
            provider,
            model,
            tuple(sorted({ref for group in groups if (ref := group.key[2])})),
            tuple(sorted({source for group in groups if (source := group.key[3])})),
            min(str(group.key[4]) for group in groups),
            max(str(group.key[4]) for group in groups),
            add(group.sums for group in groups),
        )
        for (provider, model), groups in found.items()
    ]
    return sorted(rows, key=lambda row: (-row.sums.unpriced_calls, -(row.sums.cost_nano or 0), row.model or ""))


def changed(db: sqlite3.Connection) -> tuple[int, int]:
    """A mark that differs once anybody has written to the history: for pages that follow it. Costs microseconds."""
    (version,) = db.execute("PRAGMA data_version").fetchone()
    (booked,) = db.execute("SELECT coalesce(max(id), 0) FROM runs").fetchone()
    return int(version), int(booked)


def names(db: sqlite3.Connection, key: str) -> list[str]:
    """The values that one of `schema.DIMS` has had, in order: what a filter offers."""
    _check((key,))
    return [text for (text,) in db.execute(f"SELECT DISTINCT text FROM dims JOIN names n ON n.id = {key} ORDER BY text")]


def add(sums: Iterable[Sums]) -> Sums:
    """The sum of some figures; an amount is None only where no member knows it."""
    columns = list(zip(*(tuple(getattr(one, name) for name in MEASURES) for one in sums), strict=True))
    if not columns:
        return Sums()
    totals = [[value for value in column if value is not None] for column in columns]
    return Sums(*(sum(known) if known else None for known in totals))  # type: ignore[arg-type]


def _check(keys: Iterable[str]) -> None:
    unknown = [key for key in keys if key not in KEYS]
    if unknown:
        message = f"figures can be grouped by {', '.join(KEYS)}; not {unknown[0]!r}"
        raise UsageError(message)


def _key_column(key: str, unit: str, offset_hours: int) -> str:
    if key == "hour":
        return f"f.hour + {offset_hours}"
    if key == "day":
        return "f.day" if unit == "day" else f"(f.hour + {offset_hours}) / 24"
    return f"d.{key}"


def _time_range(column: str, length_ns: int, since_ns: int | None, until_ns: int | None) -> tuple[list[str], list[object]]:
    conditions: list[str] = []
    values: list[object] = []
    if since_ns is not None:
        conditions.append(f"{column} >= ?")
        values.append(since_ns // length_ns)
    if until_ns is not None:
        conditions.append(f"{column} < ?")
        values.append(-(-until_ns // length_ns))
    return conditions, values


def texts_of(db: sqlite3.Connection, ids: Iterable[int | None]) -> dict[int, str]:
    """Names by id; an unknown one is not in it."""
    found: dict[int, str] = {}
    wanted = sorted({one for one in ids if one})
    for start in range(0, len(wanted), 500):
        part = wanted[start : start + 500]
        found.update(db.execute(f"SELECT id, text FROM names WHERE id IN ({','.join('?' * len(part))})", part).fetchall())
    return found


def _key(key: str, value: int, texts: Mapping[int, str]) -> str | None:
    if key == "day":
        return f"{_EPOCH + timedelta(days=value):%Y-%m-%d}"
    if key == "hour":
        return f"{_EPOCH + timedelta(hours=value):%Y-%m-%dT%H}"
    return texts.get(value)


def _dearest_first(group: Group) -> tuple[object, ...]:
    sums = group.sums
    return (sums.cost_nano is None, -(sums.cost_nano or 0), -(sums.total_tokens or 0), _in_order(group))


def _in_order(group: Group) -> tuple[object, ...]:
    return tuple((part is None, part or "") for part in group.key)


def _priced(values: Sequence[int | None]) -> list[object]:
    """(tokens, nano) pairs as (tokens, dollars)."""
    return [value if place % 2 == 0 else from_nano(value) for place, value in enumerate(values)]
