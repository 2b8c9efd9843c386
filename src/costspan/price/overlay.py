"""Our own price lists above the bundled table: what costspan ships (`overlay.json`) and what a user overrides."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from costspan.errors import SettingsError
from costspan.price.rates import NEVER_NS, Rates, Vector, cliffs, vector
from costspan.price.rows import EXACT, Row, decode, read_row
from costspan.price.schedule import Schedule, moment, to_ns
from costspan.records import MONEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from decimal import Decimal
    from pathlib import Path


@dataclass(slots=True)
class PriceList:
    """Rows by provider, with the schedules that they refer to. `problems` are lines about what could not be used."""

    rows: dict[str | None, list[Row]] = field(default_factory=dict)
    tiers: tuple[Row, ...] = ()
    schedules: Mapping[str, Schedule] = field(default_factory=dict)
    refused: tuple[tuple[str, str], ...] = ()
    windows: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    source: str = "table"
    as_of: float = 0.0
    problems: tuple[str, ...] = ()

    def add(self, row: Row) -> None:
        self.rows.setdefault(row.provider, []).append(row)

    def refuses(self, provider: str, model: str) -> bool:
        """Whether a provider is known not to sell what its list would take this name for."""
        return any(provider == who and fnmatchcase(model, pattern) for who, pattern in self.refused)

    def matching(self, provider: str | None, model: str) -> list[Row]:
        """The rows that fit a cleaned name best, whatever their period and tier; of two equally good later ones win."""
        best, found = 0, []
        for row in (*self.rows.get(None, ()), *(self.rows.get(provider, ()) if provider is not None else ())):
            fit = row.fit(provider, model)
            if fit > best:
                best, found = fit, [row]
            elif fit and fit == best:
                found.append(row)
        return found

    def best(self, ways: Iterable[tuple[str | None, str]]) -> tuple[tuple[str | None, str] | None, list[Row]]:
        """The first of several names that a row has exactly, else the first that a pattern takes; with the rows."""
        by_pattern: tuple[tuple[str | None, str] | None, list[Row]] = (None, [])
        for way in dict.fromkeys(ways):
            rows = self.matching(*way)
            if rows and rows[0].fit(*way) == EXACT:
                return way, rows
            if rows and not by_pattern[1]:
                by_pattern = way, rows
        return by_pattern

    def sellers(self, model: str) -> tuple[str, ...]:
        """Providers for whom a row names this model; rows for whatever a provider has say nothing."""
        return tuple(who for who, rows in self.rows.items() if who is not None and any(row.fit(who, model) > 1 for row in rows))

    def active(self, rows: Iterable[Row], at_ns: int) -> list[Row]:
        """Those of the rows that are in force at a moment, the one that decides last."""
        return sorted(
            (row for row in rows if row.since_ns <= at_ns < row.until_ns and self._in_hours(row, at_ns)),
            key=lambda row: (row.since_ns, row.during is not None),
        )

    def edges(self, rows: Iterable[Row], at_ns: int) -> Iterator[int]:
        """Moments near `at_ns` at which another of these rows may come into force."""
        for row in rows:
            yield row.since_ns
            yield row.until_ns
            if row.during is not None:
                yield from self.schedules[row.during].edges(at_ns)

    def factor(self, provider: str, model: str, tier: str, at_ns: int) -> Row | None:
        """What a tier costs where models have no list of their own for it: a factor on the standard list.

        `same_as` names another tier whose list, where a model has it, is this tier's too.
        """
        fitting = (row for row in self.tiers if row.tier == tier and row.fit(provider, model))
        return next((row for row in fitting if row.since_ns <= at_ns), None)

    def _in_hours(self, row: Row, at_ns: int) -> bool:
        return row.during is None or self.schedules[row.during].active(at_ns)


def rates(prices: PriceList, rows: Iterable[Row], at_ns: int, tier: str | None) -> tuple[Rates | None, bool]:
    """Rates from the row in force, and whether they are those of the tier; (None, False) when no row is in force."""
    active = prices.active(rows, at_ns)
    of_tier = [row for row in active if row.tier is not None and row.tier == tier]
    standard = [row for row in active if row.tier is None]
    chosen = next(reversed(of_tier or standard), None)
    if chosen is None or not chosen.prices:
        return None, False
    ref = "undated" if chosen.since_ns == NEVER_NS else str(moment(chosen.since_ns).date())
    return replace(compile_row(chosen), source=prices.source, ref=ref), bool(of_tier)


def compile_row(row: Row) -> Rates:
    return Rates(
        vector(row.prices, row.factor),
        cliffs(row.prices, row.above, row.factor),
        thinking=compile_row(row.thinking) if row.thinking is not None else None,
        request_usd=row.request_usd,
        fees=row.fees,
    )


def scaled(rates: Rates, factor: Decimal) -> Rates:
    """The same rates with every token price multiplied; fees are not discounted."""

    def times(prices: Vector) -> Vector:
        return Vector(*(MONEY.multiply(price, factor) for price in prices))

    return replace(
        rates,
        base=times(rates.base),
        cliffs=tuple((threshold, times(prices)) for threshold, prices in rates.cliffs),
        thinking=scaled(rates.thinking, factor) if rates.thinking is not None else None,
    )


@cache
def shipped() -> PriceList:
    """The prices that costspan ships, dated and with their sources."""
    raw: Any = decode(files("costspan.price").joinpath("overlay.json").read_text(encoding="utf-8"))
    prices = PriceList(
        tiers=tuple(read_row({"same_as": "*", "model": "*", **tier}) for tier in raw["tiers"]),
        schedules={name: _schedule(given, raw["holidays"]) for name, given in raw["schedules"].items()},
        refused=tuple((row["provider"], row["model"]) for row in raw["no_price"]),
        windows=raw["windows"],
        as_of=to_ns(datetime.fromisoformat(raw["as_of"])) / 1e9,
    )
    for row in raw["prices"]:
        prices.add(read_row(row))
    return prices


def _schedule(raw: Mapping[str, Any], holidays: Mapping[str, list[str]]) -> Schedule:
    return Schedule(
        windows=tuple((time.fromisoformat(start), time.fromisoformat(end)) for start, end in raw["hours_utc"]),
        weekdays_only=bool(raw.get("weekdays_only")),
        holidays=frozenset(date.fromisoformat(day) for day in holidays.get(raw.get("holidays", ""), ())),
        utc_offset_hours=int(raw.get("utc_offset_hours", 0)),
    )


def read_overrides(path: Path) -> PriceList:
    """A user's price file: `{"prices": [rows]}` or just the list.

    Rows that cannot be used are left out and told in `problems`, one line each that says where, what and what to do.
    Raises SettingsError, one line too, when the file as a whole cannot be used.
    """
    try:
        raw = decode(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        message = f"price file {path}: cannot be read ({error.strerror}); check COSTSPAN_PRICES"
        raise SettingsError(message) from None
    except UnicodeDecodeError:
        message = f"price file {path}: is not UTF-8 text; save it as UTF-8"
        raise SettingsError(message) from None
    except json.JSONDecodeError as error:
        message = f"price file {path}, line {error.lineno} column {error.colno}: not JSON ({error.msg}); mend that line"
        raise SettingsError(message) from None
    except RecursionError:
        message = f'price file {path}: nested too deeply; write {{"prices": [rows]}}'
        raise SettingsError(message) from None
    except ValueError:  # Python turns no more than 4,300 digits into a whole number
        message = f"price file {path}: has a number of more digits than any price; mend it"
        raise SettingsError(message) from None
    rows = raw.get("prices") if isinstance(raw, dict) else raw
    if not isinstance(rows, list):
        message = f'price file {path}: has no list of prices; write {{"prices": [{{"model": …, "input": …, "output": …}}]}}'
        raise SettingsError(message)
    return _usable(path, rows)


def _usable(path: Path, raw_rows: list[object]) -> PriceList:
    prices = PriceList(source="override")
    problems: list[str] = []
    for number, raw in enumerate(raw_rows, start=1):
        try:
            row = read_row(raw)
            if row.during is not None:
                raise ValueError('\'during\' is for costspan\'s own list; use "from" and "until"')
        except ValueError as error:
            name = f" ({raw['model']!r:.60})" if isinstance(raw, dict) and raw.get("model") is not None else ""
            problems.append(f"price file {path}, price {number}{name}: {error}; this price is left out, the others count")
        else:
            prices.add(row)
    prices.problems = tuple(problems)
    return prices
