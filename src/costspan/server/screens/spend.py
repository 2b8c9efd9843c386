"""Spend by day, stacked by who spent it: a chart's data, and the same as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.history.queries import add
from costspan.report.page.naming import plain
from costspan.report.page.shares import COLOURS, NOBODYS
from costspan.server.screens.sums import cost_of, tokens_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from costspan.history.rows import Group, Sums

STACKED: Final = 7
"""The greatest have a colour of their own, the rest is one."""
OTHERS: Final = "others"
LONG: Final = 90
"""A range of more days begins with the first that has figures."""


class Day(NamedTuple):
    """One day of the table: the dollars of each name, in the order of the heads."""

    day: str
    cost: str
    tokens: str
    parts: Sequence[str]


class Spend(NamedTuple):
    """`data` goes to the script as JSON: {kind, unit, days, told, series: [{name, colour,
    values}]}; `told` is what each day cost."""

    data: Mapping[str, object]
    legend: Sequence[tuple[str, str]]
    days: Sequence[Day]


def spend(groups: Sequence[Group], days: Sequence[str], nobody: str) -> Spend | None:
    """From the figures by (day, name), `nobody` for no name; None where nothing has a known price. The dearest come first."""
    whole: dict[str | None, int] = {}
    for group in groups:
        whole[group.key[1]] = whole.get(group.key[1], 0) + (group.sums.cost_nano or 0)
    if not any(whole.values()):
        return None
    if len(days) > LONG:
        first = min(str(group.key[0]) for group in groups)
        days = [day for day in days if day >= first]
    names = sorted((name for name, nano in whole.items() if nano), key=lambda name: (-whole[name], name or ""))
    top = names[:STACKED]
    rest = len(names) > STACKED
    found: dict[tuple[str, str | None], Sums] = {(str(group.key[0]), group.key[1]): group.sums for group in groups}
    heads = [(plain(name) if name else nobody, f"k{place % COLOURS}" if name else NOBODYS) for place, name in enumerate(top)]
    values = [[_dollars(found.get((day, name))) for day in days] for name in top]
    if rest:
        heads.append((OTHERS, NOBODYS))
        values.append([sum(_dollars(found.get((day, name))) for name in names[STACKED:]) for day in days])
    series = [{"name": name, "colour": colour, "values": own} for (name, colour), own in zip(heads, values, strict=True)]
    by_day: dict[str, list[Sums]] = {}
    for group in groups:
        by_day.setdefault(str(group.key[0]), []).append(group.sums)
    table = [_day(day, add(sums), top, names[STACKED:], found) for day, sums in sorted(by_day.items(), reverse=True)]
    told = [cost_of(add(by_day[day])) if day in by_day else "no calls" for day in days]
    return Spend({"kind": "days", "unit": "$", "days": list(days), "told": told, "series": series}, heads, table)


def _dollars(sums: Sums | None) -> float:
    """For drawing only: money elsewhere is exact."""
    return (sums.cost_nano or 0) / 1e9 if sums is not None else 0.0


def _day(
    day: str, whole: Sums, top: Sequence[str | None], rest: Sequence[str | None], found: Mapping[tuple[str, str | None], Sums]
) -> Day:
    parts = [cost_of(found[day, name]) if (day, name) in found else "–" for name in top]
    if rest:
        others = [found[day, name] for name in rest if (day, name) in found]
        parts.append(cost_of(add(others)) if others else "–")
    return Day(day, cost_of(whole), tokens_of(whole), parts)
