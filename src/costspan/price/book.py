"""The price book: what a call costs, from the best evidence there is, in a few microseconds.

Order of evidence: what the provider itself stated, the user's overrides, the prices that costspan ships, the bundled
genai-prices table. Where none knows, the answer says so; it is never 0.
"""

from __future__ import annotations

import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from costspan import guard
from costspan.errors import SettingsError
from costspan.price.cost import cost_of
from costspan.price.rates import Rates
from costspan.records import Cost, Unpriced

if TYPE_CHECKING:
    from collections.abc import Mapping

    from costspan.price.match import Match, Missing
    from costspan.price.overlay import PriceList
    from costspan.records import Usage

CACHED_MAX: Final = 2048
"""Entries of each cache; the oldest go first. Names come from outside and may be arbitrary."""
PERIODS_MAX: Final = 4
"""Price periods of one model that are kept compiled, for readers of old spans and for prices by the hour."""

K = TypeVar("K")
V = TypeVar("V")
_Named = tuple[str | None, str | None, str | None]
"""Provider, model, and the model that was asked for where that may matter."""
_Key = tuple[str | None, str | None, str | None, str | None, bool]


class PriceBook:
    """Prices of calls. Thread-safe; the price table loads on first use (`preload` does it early).

    `overrides` is a price file in the format of docs/prices.md. What cannot be used of it is warned about in one line
    each and left out (`problems`), the other prices count. With `strict` a file that cannot be read at all raises SettingsError.
    """

    def __init__(self, overrides: Path | None = None, *, strict: bool = False) -> None:
        self._lock = threading.Lock()
        self._overrides = _read(overrides, strict)
        self._rates: dict[_Key, Rates | Missing] = {}
        self._older: dict[_Key, tuple[Rates | Missing, ...]] = {}
        self._matches: dict[_Named, Match] = {}
        self._windows: dict[_Named, int | None] = {}
        self._names: dict[_Named, tuple[str | None, str | None]] = {}

    def price(  # noqa: PLR0913 - a price depends on this many facts
        self,
        usage: Usage,
        *,
        provider: str | None,
        model: str | None,
        at_ns: int,
        service_tier: str | None = None,
        batch: bool = False,
        fees: Mapping[str, int] | None = None,
        stated_cost_usd: Decimal | None = None,
        requested: str | None = None,
    ) -> Cost | Unpriced:
        """What one call cost in USD, or why that is not known. Never raises.

        `provider` and `model` (the response's) in any spelling, `requested` the model that was asked for, which finds rows of
        the user's price file only, `at_ns` when the provider billed it (nanoseconds since the epoch, UTC), `service_tier` as
        the response told, `fees` uses of paid extras (`{"web_search": 3}`), `stated_cost_usd` what the provider itself said,
        which then is the price.
        """
        if not self._overrides.rows:
            requested = None
        if stated_cost_usd is not None:
            stated = _stated(stated_cost_usd, *self.canonical(provider, model, requested))
            if stated is not None:
                return stated
        try:
            rates = self._rates.get((provider, model, requested, service_tier, batch))
            if rates is None or not rates.since_ns <= at_ns < rates.until_ns:
                rates = self._find((provider, model, requested, service_tier, batch), at_ns)
            return cost_of(rates, usage, fees) if isinstance(rates, Rates) else rates.why
        except ValueError as error:
            return Unpriced("invalid_usage", str(error))
        except TypeError as error:
            return Unpriced("invalid_usage", f"the call is described by values of the wrong type ({error})")

    def rates(
        self, provider: str | None, model: str | None, at_ns: int, service_tier: str | None = None, *, batch: bool = False
    ) -> Rates | Unpriced:
        """What a model costs per token at a moment, or why that is not known."""
        found = self._find((provider, model, None, service_tier, batch), at_ns)
        return found if isinstance(found, Rates) else found.why

    def canonical(self, provider: str | None, model: str | None, requested: str | None = None) -> tuple[str | None, str | None]:
        """(provider, model id) as prices and labels name them: one pair for all spellings of one priced model.

        A dated snapshot shares its alias's id only where they are the same row of the price list. Unknown names come back
        cleaned; a provider that is not given is told from the model's name where only one company sells under it.
        """
        named = (provider, model, requested if self._overrides.rows else None)
        try:
            known = self._names.get(named)
        except TypeError:
            return None, None
        if known is None:
            found = self._match(*named)
            known = (found.provider, found.model)
            _keep(self._lock, self._names, named, known)
        return known

    def context_window(self, provider: str | None, model: str | None, requested: str | None = None) -> int | None:
        """The model's whole window in tokens (input and output together), None when no list has it."""
        named = (provider, model, requested if self._overrides.rows else None)
        try:
            known = self._windows.get(named, -1)
        except TypeError:
            return None
        if known != -1:
            return known
        from costspan.price.match import window_of

        known = window_of(self._match(*named))
        _keep(self._lock, self._windows, named, known)
        return known

    @property
    def problems(self) -> tuple[str, ...]:
        """A line for each row of the user's price file that is left out."""
        return self._overrides.problems

    @property
    def table_timestamp(self) -> float:
        """How fresh the prices are: the newest day, in seconds since the epoch, that they are known to cover."""
        from costspan.price import overlay, table

        return max(overlay.shipped().as_of, table.newest_start(time.time()))

    def preload(self) -> None:
        """Load the price lists now, in a place of the caller's choice, and not at the first call (0.1 s, 2 s without .pyc)."""
        from costspan.price import overlay, table

        table.load()
        overlay.shipped()

    def after_fork(self) -> None:
        """In a forked child: the lock may be held by a thread that is gone. What is known stays known."""
        self._lock = threading.Lock()

    def _match(self, provider: str | None, model: str | None, requested: str | None) -> Match:
        found = self._matches.get((provider, model, requested))
        if found is None:
            from costspan.price.match import match

            found = match(self._overrides, provider, model, requested)
            _keep(self._lock, self._matches, (provider, model, requested), found)
        return found

    def _find(self, key: _Key, at_ns: int) -> Rates | Missing:
        """Rates for a moment that the cache does not cover; those of a few other periods are kept aside."""
        from costspan.price.match import rates_of, tier_of

        for older in self._older.get(key, ()):
            if older.since_ns <= at_ns < older.until_ns:
                return older
        provider, model, requested, service_tier, batch = key
        found = self._match(provider, model, requested)
        rates = rates_of(found, self._overrides, at_ns, tier_of(found.provider, service_tier, batch))
        _keep(self._lock, self._older, key, (rates, *self._older.get(key, ()))[:PERIODS_MAX])
        _keep(self._lock, self._rates, key, rates)
        return rates


def _keep(lock: threading.Lock, cache: dict[K, V], key: K, value: V) -> None:
    with lock:
        if key not in cache and len(cache) >= CACHED_MAX:
            del cache[next(iter(cache))]
        cache[key] = value


def _stated(stated: Decimal, provider: str | None, model: str | None) -> Cost | None:
    """A total that the provider told, without parts; None when it is no amount of money."""
    if not isinstance(stated, Decimal) or not stated.is_finite() or stated < 0:
        return None
    return Cost(stated, {"unsplit": stated}, "provider", f"{provider or 'unknown'}/{model or 'unknown'}@stated")


def _read(path: Path | None, strict: bool) -> PriceList:
    from costspan.price.overlay import PriceList, read_overrides

    if path is None:
        return PriceList(source="override")
    try:
        prices = read_overrides(Path(path))
    except SettingsError as error:
        if strict:
            raise
        guard.warn_once(f"prices:{path}", f"{error}; prices come from the table until then")
        return PriceList(source="override")
    for problem in prices.problems:
        guard.warn_once(f"prices:{problem}", problem)
    return prices
