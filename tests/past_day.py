"""Five hours of agents' work with round figures, as Prometheus would have stored them: 2026-03-11 21:00 to 02:00 UTC.

Three processes, each with `Meters` of its own and read once a minute at :07 through costspan's own exposition. One of them
lives for 80 minutes and makes three calls before it is first read; one has no environment. A fourth tells a counter without a
created timestamp. What happens when is in `EVENTS`; the tests compute what the panels must show from the same figures by hand.
"""

from __future__ import annotations

import dataclasses
import subprocess
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import yaml

from costspan import conventions as names
from costspan import records
from costspan.account.meters import Exemplar, Meters
from costspan.budgets import limits
from costspan.expose.prometheus import MetersCollector
from costspan.generate import rules, thresholds
from meter_cases import active, cost, run
from promql_names import metrics_in
from real_programs import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAY = datetime(2026, 3, 12, tzinfo=UTC).timestamp()
FIRST, END, RANGE = DAY - 3 * 3600, DAY + 2 * 3600, 4 * 3600
BUDGETS = "budgets: [{name: everything, day_usd: 10, month_usd: 200}]"
PLANNER, WRITER, POLLER = "planner", "R&D (EU)", "poller"
SPAN, TRACE = "b7ad6b7169203331", "0af7651916cd43dd8448eb211c80319c"


def at(clock: str) -> float:
    """Seconds since the epoch of a time of that night, such as 23:10:30."""
    hours, minutes, seconds = (int(part) for part in clock.split(":"))
    return DAY + hours * 3600 + minutes * 60 + seconds - (86400 if hours > 12 else 0)


class Process:
    """One process: its labels, and its meters on a clock that the history moves."""

    def __init__(self, job: str, instance: str, environment: str | None, begins: str, ends: str = "02:00:07"):
        self.now = at(begins)
        self.begins, self.ends = at(begins), at(ends)
        self.labels = {"job": job, "instance": instance} | ({"environment": environment} if environment else {})
        self.in_flight: list[records.ActiveRun] = []
        self.meters = Meters(
            version="1.2.3",
            active_runs=lambda: self.in_flight,
            price_table_timestamp=lambda: END - 10 * 86400.0,
            clock=lambda: int(self.now * 1e9),
        )


def call(process: Process, **given: object) -> None:
    """Book one call that ends now."""
    ended = int(process.now * 1e9)
    seconds = given.pop("seconds", 2.0)
    process.meters.call(records.Call(id=SPAN, trace_id=TRACE, started_ns=ended - int(seconds * 1e9), ended_ns=ended, **given))


def plan(process: Process, workflow: str = "research", **given: object) -> None:
    """1,000 in (400 of them cached) and 200 out (50 of them reasoning) for 1.00 dollar, in 2 seconds, the first after 0.4."""
    parts = {"input_uncached": "0.60", "input_cache_read": "0.10", "output_visible": "0.20", "output_reasoning": "0.10"}
    usage = records.Usage(input_tokens=1000, output_tokens=200, cache_read_tokens=400, reasoning_tokens=50)
    call(process, provider="openai", model="gpt", usage=usage, cost=cost(parts), stream=True, context_window_tokens=2000,
         time_to_first_token_seconds=0.4, owner=records.Owner(workflow, PLANNER), **given)  # fmt: skip


def write(process: Process, workflow: str = "support", agent: str = WRITER, **given: object) -> None:
    """3,000 in (1,000 of them written to the cache) and 1,000 out for 2.00 dollars in 8 seconds, filling the whole window."""
    parts = {"input_uncached": "0.90", "input_cache_write": "0.30", "output_visible": "0.80"}
    usage = records.Usage(input_tokens=3000, output_tokens=1000, cache_write_tokens=1000)
    call(process, provider="anthropic", model="claude", usage=usage, cost=cost(parts, "override"), seconds=8.0,
         context_window_tokens=4000, owner=records.Owner(workflow, agent), **given)  # fmt: skip


def poll(process: Process) -> None:
    """100 in and 20 out for a cent in 1 second, the first after 0.3."""
    parts = {"input_uncached": "0.006", "output_visible": "0.004"}
    call(process, provider="openai", model="mini", usage=records.Usage(input_tokens=100, output_tokens=20), cost=cost(parts),
         seconds=1.0, stream=True, time_to_first_token_seconds=0.3, context_window_tokens=2000,
         owner=records.Owner("support", POLLER))  # fmt: skip


def nobody(process: Process) -> None:
    """500 in and 100 out for 0.50 dollars, of no agent and no workflow."""
    usage = records.Usage(input_tokens=500, output_tokens=100)
    call(process, provider="openai", model="gpt", usage=usage, cost=cost({"input_uncached": "0.40", "output_visible": "0.10"}),
         context_window_tokens=2000)  # fmt: skip


def odd_ones(process: Process) -> None:
    """Of the planner: 120 estimated tokens for 0.05, 250 without a price, one call without usage, one that was refused."""
    owner = records.Owner("research", PLANNER)
    estimated = records.Usage(input_tokens=100, output_tokens=20, source="estimated")
    parts = {"input_uncached": "0.03", "output_visible": "0.02"}
    call(process, provider="openai", model="gpt", usage=estimated, cost=cost(parts), owner=owner)
    unpriced = records.Unpriced("unknown_model")
    usage = records.Usage(input_tokens=200, output_tokens=50)
    call(process, provider="acme", model="mystery", usage=usage, unpriced=unpriced, owner=owner)
    call(process, provider="openai", model="gpt", usage=records.NO_USAGE, missing_reason="stream_without_usage", owner=owner)
    call(process, provider="openai", model="gpt", usage=records.NO_USAGE, refused=True, outcome="error", owner=owner)


def finish(process: Process, workflow: str, usd: str, tokens: int, calls: int, seconds: int, outcome: str = "ok") -> None:
    ended = int(process.now * 1e9)
    totals = records.Totals(calls=calls, usage=records.Usage(tokens, 0), cost_usd=Decimal(usd))
    process.meters.run(run(workflow=workflow, started_ns=ended - seconds * 10**9, ended_ns=ended, outcome=outcome, totals=totals))


def search(process: Process, agent: str = PLANNER, seconds: float = 2.0, outcome: str = "ok", tool: str = "search") -> None:
    exemplar = Exemplar(TRACE, SPAN, int(process.now * 1e9))
    process.meters.tool(tool, agent, outcome=outcome, duration_seconds=seconds, exemplar=exemplar)


def bill(process: Process) -> None:
    """The tool bill: search's own tokens, and the calls nested in ask_writer."""
    for part, tokens, usd in (("call", 30, "0.03"), ("result", 500, "0.25"), ("carried", 200, "0.02")):
        process.meters.tool_tokens("search", part, tokens, Decimal(usd))
    process.meters.tool_tokens("ask_writer", "nested", 8000, Decimal("4.00"))


def limits_inside(process: Process) -> None:
    meters = process.meters
    for metric, value in ((names.BUDGET_LIMIT_USD, 10), (names.BUDGET_SPENT_USD, 4), (names.BUDGET_LIMIT_TOKENS, 1_000_000),
                          (names.BUDGET_SPENT_TOKENS, 250_000)):  # fmt: skip
        meters.set(metric, ("everything",), value)
    meters.add(names.BUDGET_BLOCKED, ("everything",), 3)
    meters.add(names.INTERNAL_ERRORS, ("flush",), 1)
    for _ in range(2):
        meters.duplicate("costspan", "openinference.instrumentation.openai")


def known(process: Process) -> None:
    for workflow in ("research", "support", "nightly"):
        process.meters.known(workflow=workflow)


def in_flight(process: Process) -> None:
    process.in_flight = [active("support", calls=7, tokens=900, usd="0.4"), active("support", calls=3, tokens=50, usd="0.9")]


def happenings(a: Process, b: Process, c: Process) -> list[tuple[str, object]]:
    """What happens when; `b` is born at 23:10:30 and gone after 00:30:07."""
    return [
        ("21:00:01", lambda: (known(a), known(c))),
        ("21:30:30", lambda: plan(a)),
        ("22:30:30", lambda: (plan(a), plan(a), search(a), search(a), search(a), search(a, WRITER))),
        ("22:31:30", lambda: finish(a, "research", "2.00", 2400, 2, 60)),
        ("23:10:40", lambda: (plan(b), plan(b), plan(b))),
        ("23:10:50", lambda: finish(b, "research", "3.00", 3600, 3, 20)),
        ("23:30:30", lambda: write(a)),
        ("00:20:30", lambda: write(b)),
        ("00:40:30", lambda: (plan(a), write(a, waste="failed_parse"), nobody(a))),
        ("00:40:40", lambda: (search(a, seconds=4.0, outcome="error"), search(a, seconds=10.0, tool="ask_writer"), bill(a))),
        ("00:41:30", lambda: finish(a, "support", "4.00", 8000, 2, 120, "error")),
        ("01:00:00", lambda: in_flight(a)),
        ("01:10:30", lambda: limits_inside(a)),
        ("01:15:30", lambda: odd_ones(a)),
        ("01:30:30", lambda: write(c, "nightly", PLANNER)),
        ("01:31:30", lambda: finish(c, "nightly", "2.00", 4000, 1, 30)),
        *((f"{minute // 60:02}:{minute % 60:02}:30", lambda: poll(a)) for minute in range(110)),
    ]


def scrapes() -> Iterator[str]:
    """The lines of an OpenMetrics file, in order of time."""
    a = Process("agents", "10.0.0.1:9464", "prod", "21:00:00")
    b = Process("agents", "10.0.0.2:9464", "prod", "23:10:30", "00:30:07")
    c = Process("batch", "10.0.0.3:9464", None, "21:00:00")
    waiting = sorted(((at(clock), do) for clock, do in happenings(a, b, c)), key=lambda pair: pair[0])
    for minute in range(int(END - FIRST) // 60 + 1):
        when = FIRST + 60 * minute + 7
        while waiting and waiting[0][0] < when:
            moment, do = waiting.pop(0)
            for process in (a, b, c):
                process.now = moment
            do()
        for process in (a, b, c):
            if process.begins <= when <= process.ends:
                yield from _lines(process, when)
        if when >= at("23:00:00"):
            yield f'{names.WORKFLOW_COST_USD}{{job="workers",instance="10.0.0.4:9464",workflow="multi"}} 5 {when}\n'
        yield from _restarting(when)


def _restarting(when: float) -> Iterator[str]:
    """Counters for the table in `grafana/build/promql.py`: each a process (job "restarts") with another fate."""
    elapsed = (when - FIRST) // 60
    again = at("00:30:00")
    fates = {
        "steady": (elapsed, FIRST),  # one a minute, all the time: 240 in the range
        "restarted": (elapsed, FIRST) if when < again else ((when - again) // 60, again),
        "born at 5": (5, at("23:00:00")) if when >= at("23:00:00") else None,
        "straddling the start": (9, at("21:59:50")) if when >= at("22:00:00") else None,
        "gone": (7, at("22:30:00")) if at("22:30:00") <= when < at("22:40:00") else None,
        "older than its first scrape": (3 + (when > at("23:30:00")), FIRST - 9e5) if when >= at("23:00:00") else None,
        "without created": (3 + (when > at("23:30:00")), None) if when >= at("23:00:00") else None,
    }
    for instance, fate in fates.items():
        if fate is not None:
            labels = f'{{job="restarts",instance="{instance}"}}'
            yield f"costspan_unattributed_tokens_total{labels} {fate[0]} {when}\n"
            if fate[1] is not None:
                yield f"costspan_unattributed_tokens_created{labels} {fate[1]} {when}\n"


def _lines(process: Process, when: float) -> Iterator[str]:
    process.now = when
    target = ",".join(f'{name}="{value}"' for name, value in process.labels.items())
    for family in MetersCollector(process.meters).collect():
        for sample in family.samples:
            own = "".join(f',{name}="{value}"' for name, value in sample.labels.items())
            yield f"{sample.name}{{{target}{own}}} {sample.value!r} {when}\n"


def store(data: Path) -> None:
    """Put the night into a Prometheus' data directory."""
    page = data.parent / "night.om"
    with page.open("w", encoding="utf-8") as file:
        file.writelines(scrapes())
        file.write("# EOF\n")
    tool = [require("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--quiet", str(page), str(data)]
    subprocess.run(tool, check=True, capture_output=True)


def rule_files(pace: str) -> dict[str, str]:
    """costspan's rules with the budget of the night, evaluated at this pace."""
    knobs = thresholds.read()
    every = thresholds.Duration(pace)
    paced = dataclasses.replace(knobs.rules, interval=every, quality_interval=every)
    return rules.render(dataclasses.replace(knobs, rules=paced), limits.parse(BUDGETS))


def levels(text: str) -> list[str]:
    """Recording rules of a file in layers, so that each reads only what those before it have written.

    What is back-filled has no markers of staleness, so that after midnight two days would be in the calendar for five minutes:
    the rules that read it get its expression instead.
    """
    (group,) = yaml.safe_load(text)["groups"]
    left = [rule for rule in group["rules"] if "record" in rule]
    (calendar,) = (rule["expr"] for rule in left if rule["record"] == names.LEDGER_CALENDAR)
    for rule in left:
        rule["expr"] = rule["expr"].replace(names.LEDGER_CALENDAR, f"({calendar})")
    layers = []
    while left:
        own = {rule["record"] for rule in left}
        layer = [rule for rule in left if not (metrics_in(rule["expr"]) & own - {rule["record"]})]
        assert layer, f"rules that read each other: {sorted(own)}"
        layers.append(yaml.safe_dump({"groups": [{**group, "rules": layer}]}))
        left = [rule for rule in left if rule not in layer]
    return layers
