"""The short cut from a call's labels to the series it is booked into; found once, then reused by every such call."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from costspan import conventions as names
from costspan.records import ESTIMATED, MONEY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from costspan.account.meters import Ended
    from costspan.account.series import Buckets, Family, Origin, Series, Single
    from costspan.records import Call, Cost

_add = MONEY.add


class RowKey(NamedTuple):
    """The labels that decide which series a call is booked into. `price_source` None: the call has no cost."""

    provider: str | None
    model: str | None
    agent: str | None
    workflow: str | None
    usage_source: str
    price_source: str | None
    outcome: str


class _Parts(dict[str, "Single"]):
    """Token or cost type -> series, made when the type is first met, so that types nobody uses cost no series."""

    __slots__ = ("_family", "_source", "_start")

    def __init__(self, family: Family, start: tuple[str | None, ...], source: str) -> None:
        super().__init__()
        self._family = family
        self._start = start
        self._source = source

    def __missing__(self, part: str) -> Single:
        found = self[part] = self._family.single((*self._start, part, self._source))
        return found


class Row:
    """The series of all calls with one `RowKey`. Used under the lock of `Meters` only."""

    __slots__ = (
        "_calls",
        "_context",
        "_cost",
        "_duration",
        "_families",
        "_first",
        "_input",
        "_key",
        "_largest",
        "_output",
        "_tokens",
        "_workflow",
    )

    def __init__(self, key: RowKey, families: Mapping[str, Family]) -> None:
        self._key = key
        self._families = families
        start = (key.provider, key.model, key.agent, key.workflow)
        self._tokens = _Parts(families[names.TOKENS], start, key.usage_source)
        self._cost = _Parts(families[names.COST_USD], start, key.price_source or "")
        self._calls = families[names.CALLS].single((key.provider, key.model, key.agent, key.outcome))
        self._workflow = families[names.WORKFLOW_COST_USD].single((key.workflow,))
        self._duration = families[names.CALL_DURATION].buckets((key.provider, key.model))
        self._first: Buckets | None = None
        self._input: Buckets | None = None
        self._output: Buckets | None = None
        self._context: Buckets | None = None
        self._largest: Single | None = None

    def book(self, parts: Iterable[tuple[str, int]], cost: Cost | None, origin: Origin | None) -> None:
        """Add one call: its tokens by type, its dollars by type, and itself."""
        tokens = self._tokens
        for part, count in parts:
            single = tokens[part]
            single.value += count
            if origin is not None:
                single.last, single.origin = count, origin
        if cost is not None:
            dollars = self._cost
            for part, amount in cost.by_type.items():
                single = dollars[part]
                single.value = _add(single.value, amount)
                if origin is not None:
                    single.last, single.origin = amount, origin
            single = self._workflow
            single.value = _add(single.value, cost.amount_usd)
            if origin is not None:
                single.last, single.origin = cost.amount_usd, origin
        single = self._calls
        single.value += 1
        if origin is not None:
            single.last, single.origin = 1, origin

    def measure(self, call: Call, origin: Origin | None) -> None:
        """Observe one call in the histograms (duration, first token, size, share of the context window) and the largest size."""
        self._duration.observe(call.duration_seconds, origin)
        if call.stream and call.time_to_first_token_seconds is not None:
            if self._first is None:
                self._first = self._families[names.TIME_TO_FIRST_TOKEN].buckets((self._key.provider, self._key.model))
            self._first.observe(call.time_to_first_token_seconds, origin)
        taken, given = call.usage.input_tokens, call.usage.output_tokens
        if taken is not None:
            (self._input or self._size_in()).observe(taken, origin)
        if given is not None:
            (self._output or self._size_out()).observe(given, origin)
        if call.usage.source == ESTIMATED:
            return  # what follows has no label that could mark an estimate
        if taken is not None and given is not None:
            if call.context_window_tokens:
                (self._context or self._share()).observe((taken + given) / call.context_window_tokens, origin)
            largest = self._largest or self._peak()
            if taken + given > largest.value:
                largest.value = taken + given

    def _size_in(self) -> Buckets:
        self._input = self._families[names.CALL_TOKENS].buckets((self._key.model, "input", self._key.usage_source))
        return self._input

    def _size_out(self) -> Buckets:
        self._output = self._families[names.CALL_TOKENS].buckets((self._key.model, "output", self._key.usage_source))
        return self._output

    def _share(self) -> Buckets:
        self._context = self._families[names.CONTEXT_RATIO].buckets((self._key.agent,))
        return self._context

    def _peak(self) -> Single:
        self._largest = self._families[names.AGENT_CALL_TOKENS_MAX].single((self._key.agent,))
        return self._largest

    def create(self) -> None:
        """Make the series that nearly every call needs, at 0, before the first call."""
        for part in ("input_uncached", "output_visible"):
            self._tokens[part]
            if self._key.price_source is not None:
                self._cost[part]
        self._size_in()
        self._size_out()
        self._share()

    def series(self) -> list[Series]:
        """Every series that a booking of this row may have changed."""
        optional = (self._first, self._input, self._output, self._context, self._largest)
        fixed = (self._calls, self._workflow, self._duration)
        return [*self._tokens.values(), *self._cost.values(), *fixed, *(one for one in optional if one is not None)]


class ToolRow:
    """The series of all calls of one tool by one agent with one outcome. Used under the lock of `Meters` only."""

    __slots__ = ("_calls", "_duration")

    def __init__(self, key: tuple[str | None, str | None, str], families: Mapping[str, Family]) -> None:
        self._calls = families[names.TOOL_CALLS].single(key)
        self._duration = families[names.TOOL_DURATION].buckets((key[1],))

    def book(self, seconds: float | None, origin: Origin | None) -> None:
        """Add one call; a duration that is not known is not observed."""
        single = self._calls
        single.value += 1
        single.last = 1
        if origin is not None:
            single.origin = origin
        if seconds is not None:
            self._duration.observe(seconds, origin)

    def series(self) -> tuple[Series, ...]:
        """Every series that a booking of this row may have changed."""
        return self._calls, self._duration


class RunRow:
    """The series of all runs of one workflow with one outcome. Used under the lock of `Meters` only."""

    __slots__ = ("_calls", "_cost", "_duration", "_runs", "_tokens")

    def __init__(self, key: tuple[str | None, str], families: Mapping[str, Family]) -> None:
        workflow = (key[0],)
        self._runs = families[names.RUNS].single(key)
        self._duration = families[names.RUN_DURATION].buckets(workflow)
        self._calls = families[names.RUN_CALLS].buckets(workflow)
        self._tokens = families[names.RUN_TOKENS].buckets(workflow)
        self._cost = families[names.RUN_COST_USD].buckets(workflow)

    def book(self, run: Ended, origin: Origin | None) -> None:
        """Add one run."""
        single = self._runs
        single.value += 1
        single.last = 1
        if origin is not None:
            single.origin = origin
        self._duration.observe(run.duration_seconds, origin)
        self._calls.observe(run.calls, origin)
        if run.tokens is not None:
            self._tokens.observe(run.tokens, origin)
        if run.cost_usd is not None:
            self._cost.observe_money(run.cost_usd, _add(self._cost.total, run.cost_usd), origin)

    def series(self) -> tuple[Series, ...]:
        """Every series that a booking of this row may have changed."""
        return self._runs, self._duration, self._calls, self._tokens, self._cost
