"""The tables of the history, and the steps that lead from one version of them to the next.

`PRAGMA user_version` is the number of steps that a file has gone through. An older file is brought up to date when it is
opened for writing, in one transaction; a newer one is refused, because this costspan does not know what it means.

Names repeat, so they are kept once (`names`), and so is each combination of names that figures are told by (`dims`).
Figures (`MEASURES`) of an hour or a day are sums per combination; they change in the transaction that changes the calls.
`spans` are narrow, their attributes packed per batch (`chunks`: the one whose `first_id` is the highest not above a span's id).
"""

from __future__ import annotations

from typing import Final

DIMS: Final = (
    "service",
    "environment",
    "workflow",
    "agent",
    "tool",
    "provider",
    "model",
    "price_source",
    "price_ref",
)
"""Names by which figures are told; each may be unknown."""
COUNTS: Final = (
    "calls",
    "errors",
    "cache_hits",
    "reported_calls",
    "estimated_calls",
    "missing_calls",
    "refused_calls",
    "priced_calls",
    "measured_calls",
    "duration_ns",
)
"""Figures that are always known. `measured_calls` are both reported and priced."""
AMOUNTS: Final = (
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "cost_nano",
)
"""Figures that may be unknown (NULL): a sum is NULL while no member knew it."""
MEASURES: Final = (*COUNTS, *AMOUNTS)
TOOL_COUNTS: Final = ("calls", "errors", "duration_ns")
TOOL_AMOUNTS: Final = (
    "nested_tokens",
    "nested_nano",
    "call_tokens",
    "call_nano",
    "result_tokens",
    "result_nano",
    "carried_tokens",
    "carried_nano",
)
TOOL_MEASURES: Final = (*TOOL_COUNTS, *TOOL_AMOUNTS)


def _columns(counts: tuple[str, ...], amounts: tuple[str, ...]) -> str:
    return ", ".join([*(f"{name} INTEGER NOT NULL DEFAULT 0" for name in counts), *(f"{name} INTEGER" for name in amounts)])


_MEASURES: Final = _columns(COUNTS, AMOUNTS)
_TOOL_MEASURES: Final = _columns(TOOL_COUNTS, TOOL_AMOUNTS)
_DIMS: Final = ", ".join(f"{name} INTEGER NOT NULL" for name in DIMS)

LACKING: Final = "(evidence = 2 OR (evidence < 2 AND cost_nano IS NULL))"
"""Calls without usage or without a price; refused calls and cache hits lack nothing. Written as its index knows it."""

STEPS: Final[tuple[tuple[str, ...], ...]] = (
    (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
        "CREATE TABLE names (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT",
        f"CREATE TABLE dims (id INTEGER PRIMARY KEY, {_DIMS}, UNIQUE ({', '.join(DIMS)})) STRICT",
        "CREATE TABLE traces (id INTEGER PRIMARY KEY, trace_id BLOB NOT NULL UNIQUE, cluster INTEGER, "
        "settled INTEGER NOT NULL, seen_ns INTEGER NOT NULL) STRICT",
        "CREATE INDEX traces_open ON traces (seen_ns) WHERE settled = 0",
        "CREATE INDEX traces_cluster ON traces (cluster) WHERE cluster IS NOT NULL",
        "CREATE TABLE spans (id INTEGER PRIMARY KEY, trace INTEGER NOT NULL, span_id INTEGER NOT NULL, parent_id INTEGER, "
        "start_ns INTEGER NOT NULL, duration_ns INTEGER, kind INTEGER NOT NULL, error INTEGER NOT NULL, name ANY, scope INTEGER, "
        "service INTEGER) STRICT",
        "CREATE INDEX spans_trace ON spans (trace)",
        "CREATE TABLE chunks (first_id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT",
        "CREATE TABLE runs (id INTEGER PRIMARY KEY, run_id TEXT NOT NULL UNIQUE, cluster INTEGER, lone INTEGER NOT NULL, "
        "workflow INTEGER, service INTEGER, environment INTEGER, trace_id BLOB, started_ns INTEGER NOT NULL, "
        "ended_ns INTEGER NOT NULL, outcome TEXT NOT NULL, agents INTEGER NOT NULL, tools INTEGER NOT NULL, "
        f"duplicates INTEGER NOT NULL, booked_ns INTEGER NOT NULL, {_MEASURES}) STRICT",
        "CREATE INDEX runs_started ON runs (started_ns)",
        "CREATE INDEX runs_cluster ON runs (cluster) WHERE cluster IS NOT NULL",
        "CREATE TABLE records (run INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT",
        "CREATE TABLE calls (run INTEGER NOT NULL, place INTEGER NOT NULL, dim INTEGER NOT NULL, started_ns INTEGER NOT NULL, "
        "duration_ns INTEGER NOT NULL, span_id INTEGER NOT NULL, evidence INTEGER NOT NULL, error INTEGER NOT NULL, "
        f"reason INTEGER, {', '.join(f'{name} INTEGER' for name in AMOUNTS)}, PRIMARY KEY (run, place)) STRICT, WITHOUT ROWID",
        f"CREATE TABLE run_tools (run INTEGER NOT NULL, tool INTEGER NOT NULL, {_TOOL_MEASURES}, "
        "PRIMARY KEY (run, tool)) STRICT, WITHOUT ROWID",
        f"CREATE TABLE hours (hour INTEGER NOT NULL, dim INTEGER NOT NULL, {_MEASURES}, "
        "PRIMARY KEY (hour, dim)) STRICT, WITHOUT ROWID",
    ),
    (
        # Days and tools are sums of their own, so that a year is read as quickly as a day.
        f"CREATE TABLE days (day INTEGER NOT NULL, dim INTEGER NOT NULL, {_MEASURES}, "
        "PRIMARY KEY (day, dim)) STRICT, WITHOUT ROWID",
        f"INSERT INTO days SELECT hour / 24, dim, {', '.join(f'sum({name})' for name in MEASURES)} FROM hours GROUP BY 1, 2",
        f"CREATE TABLE tool_days (day INTEGER NOT NULL, service INTEGER NOT NULL, workflow INTEGER NOT NULL, "
        f"tool INTEGER NOT NULL, {_TOOL_MEASURES}, PRIMARY KEY (day, service, workflow, tool)) STRICT, WITHOUT ROWID",
        "INSERT INTO tool_days SELECT runs.started_ns / 86400000000000, coalesce(service, 0), coalesce(workflow, 0), tool, "
        f"{', '.join(f'sum(run_tools.{name})' for name in TOOL_MEASURES)} FROM run_tools JOIN runs ON runs.id = run "
        "GROUP BY 1, 2, 3, 4",
    ),
    (
        # What lacks a price or usage is rare, and asked for over everything.
        f"CREATE INDEX calls_lacking ON calls (started_ns) WHERE {LACKING}",
    ),
)
VERSION: Final = len(STEPS)
NOBODY: Final = 0
"""The id in `names` that stands for an unknown name in a key, where NULL would not be equal to itself."""
