"""The four things that people write by hand, as functions that need no spans, no set-up and no network.

    usage = extract_usage(response)                  # counts out of any provider's answer
    cost = calculate_cost(response)                  # dollars, or why not
    run = aggregate({"PM": pm, "Dev": dev})          # totals per agent, exact
    print(format_summary(run))                       # what `enable()` prints after a run

Unknown is None, never 0. Prices are those of the price table that comes with costspan, after the file that
COSTSPAN_PRICES names.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from costspan import settings
from costspan.account.efficiency import efficiency
from costspan.account.totals import Tally, total
from costspan.account.waste import waste
from costspan.errors import UsageError
from costspan.normalise.extracted import INCONSISTENT, Extracted
from costspan.normalise.usage import extract
from costspan.price.book import PriceBook
from costspan.records import MISSING, MONEY, ZERO, AgentTotals, Call, Cost, ModelTotals, Owner, Run, Unpriced, Usage

if TYPE_CHECKING:
    from decimal import Decimal
    from pathlib import Path

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INVALID: Final = "invalid_usage"
_WAYS_IN: Final = "pass a mapping of agent to response, a list of (agent, response) pairs, or a list of calls or responses"
_COUNT_NAMES: Final = frozenset({"usage", "usage_metadata", "response_metadata", "input_tokens", "prompt_tokens", "model"})


def extract_usage(response: object, *, provider: str | None = None) -> Usage:
    """Token counts out of a provider's answer: parsed JSON, an SDK object, a LangChain message or a bare usage.

    Input is inclusive of cache reads and writes, output of reasoning, whoever answered. Never raises: a count that is not
    there, negative, no number or larger than its whole is None, and `source` is `missing` unless both directions are known.
    `provider` names who answered where the shape does not tell (it changes no count).

    >>> extract_usage({"usage": {"prompt_tokens": 1234, "completion_tokens": 2456, "total_tokens": 3690}}).total_tokens
    3690
    >>> extract_usage({"type": "message", "usage": {"input_tokens": 3, "cache_read_input_tokens": 97, "output_tokens": 5}})
    ... # doctest: +ELLIPSIS
    Usage(input_tokens=100, output_tokens=5, cache_read_tokens=97, ...)
    >>> extract_usage({"choices": []}).input_tokens is None
    True
    """
    return extract(response, provider=provider).usage


def calculate_cost(
    response: object,
    *,
    model: str | None = None,
    provider: str | None = None,
    at: datetime | date | str | None = None,
    service_tier: str | None = None,
    batch: bool = False,
) -> Cost | Unpriced:
    """What one call cost in US dollars, from its response or its `Usage`.

    `amount_usd` of the answer is an exact `Decimal`; of an `Unpriced` it is None, and `reason` and `detail` say why.
    `model`, `provider` and `service_tier` win over what the response says; a bare usage needs a model. `at` is when
    the call was made (a datetime, or an ISO date or time; UTC unless it says otherwise; None: now). A cost that the
    provider itself stated is taken as it is. Price one call at a time: long-context prices depend on the size of each.
    Raises UsageError when `at` is no time.

    >>> usage = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
    >>> print(f"{calculate_cost(usage, model='gpt-4o-mini', at='2026-01-01').amount_usd:.2f}")
    0.15
    >>> calculate_cost(usage, model="nobody-knows-1", provider="openai").reason
    'unknown_model'
    """
    got = extract(response, provider=provider)
    return _price(got, model or got.model, _nanoseconds(at), service_tier or got.service_tier, batch)


def aggregate(
    items: object,
    *,
    workflow: str | None = None,
    model: str | None = None,
    provider: str | None = None,
    at: datetime | date | str | None = None,
) -> Run:
    """Sum calls, or responses and usages per agent, into a `Run` with totals, agents, models, waste and efficiency.

    `items` is a mapping of agent name to a response, usage or list of these; or a list of (agent, response) pairs; or a
    list of `Call`s, or of responses that belong to nobody. Each response is priced as one call, with `model`, `provider`
    and `at` for those that do not say. The run's totals are exactly the agents' plus `unattributed`.
    Raises UsageError for anything else.

    >>> run = aggregate({"PM": Usage(1234, 2456), "Dev": Usage(2345, 4567), "QA": Usage(1890, 1234)}, model="claude-haiku-4-5")
    >>> run.totals.usage.total_tokens, round(run.efficiency.average_tokens_per_agent, 2)
    (13726, 4575.33)
    """
    at_ns = _nanoseconds(at)
    calls = []
    for agent, item in _pairs(items):
        if isinstance(item, Call):
            calls.append(item)
        else:
            calls.append(_call(item, Owner(workflow, agent), (model, provider), at_ns, len(calls)))
    return _run(calls, workflow)


def format_summary(run: object, *, width: int = 80, color: bool = False) -> str:
    """The summary of a run as text of at most `width` columns, plain ASCII unless `color`; ends in a newline.

    `run` is a `Run`, or anything that `aggregate` takes. A number that is partly known ends in `+?`, one with estimates
    in it starts with `~`, an unknown one is `?`.

    >>> print(format_summary({"PM": Usage(1234, 2456)}).splitlines()[3])
      PM    1,234 + 2,456 = 3,690 (unknown)
    """
    from costspan.report.console import render

    return render(run if isinstance(run, Run) else aggregate(run), width=width, color=color, ascii_only=not color)


def _price(
    got: Extracted, model: str | None, at_ns: int, tier: str | None, batch: bool, requested: str | None = None
) -> Cost | Unpriced:
    if got.stated_cost_usd is None:
        if INCONSISTENT in got.problems:
            return Unpriced(_INVALID, "a part of the usage is larger than its whole")
        if got.usage.source == MISSING:
            return Unpriced(_INVALID, f"the usage is not fully known ({', '.join(got.problems) or _unsaid(got.usage)})")
    book = _book(settings.read().prices)
    cost = book.price(
        got.billed or got.usage,
        provider=got.provider,
        model=model,
        at_ns=at_ns,
        service_tier=tier,
        batch=batch,
        fees=got.fees,
        stated_cost_usd=got.stated_cost_usd,
        requested=requested,
    )
    for side in got.side_usages:
        if isinstance(cost, Unpriced) or got.stated_cost_usd is not None:
            break
        beside = book.price(
            side.usage, provider=got.provider, model=side.model or model, at_ns=at_ns, service_tier=tier, batch=batch
        )
        cost = beside if isinstance(beside, Unpriced) else _add(cost, beside)
    return cost


def _unsaid(usage: Usage) -> str:
    """What a usage lacks; a count that was told and is none is not in it either."""
    if usage.total_tokens is None:
        return "no counts"
    return "no input tokens" if usage.input_tokens is None else "no output tokens"


def _add(one: Cost, other: Cost) -> Cost:
    """Two costs of one response: what the answer cost, and a pass that was billed beside it."""
    parts: dict[str, Decimal] = dict(one.by_type)
    for name, amount in other.by_type.items():
        parts[name] = MONEY.add(parts.get(name, ZERO), amount)
    return Cost(MONEY.add(one.amount_usd, other.amount_usd), parts, one.source, one.ref)


@lru_cache(maxsize=4)
def _book(overrides: Path | None) -> PriceBook:
    return PriceBook(overrides)


def _nanoseconds(at: datetime | date | str | None) -> int:
    if at is None:
        return time.time_ns()
    try:
        moment = datetime.fromisoformat(at) if isinstance(at, str) else at
    except ValueError:
        moment = None
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if not isinstance(moment, datetime):
        message = f"at={at!r} is no time: pass a datetime, or an ISO date or time such as '2026-11-21' or '2026-11-21T12:00:00Z'"
        raise UsageError(message)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _pairs(items: object) -> Iterable[tuple[str | None, object]]:
    """(agent, response) of everything in `items`; agent None for what belongs to nobody."""
    if isinstance(items, Mapping):
        if _COUNT_NAMES & items.keys():
            return [(None, items)]
        return [(str(agent), one) for agent, found in items.items() for one in (found if isinstance(found, list) else [found])]
    if isinstance(items, Usage | Extracted | Call):
        return [(None, items)]
    if isinstance(items, str | bytes) or not isinstance(items, Iterable):
        message = f"{type(items).__name__} cannot be aggregated: {_WAYS_IN}"
        raise UsageError(message)
    return [
        (one[0], one[1]) if isinstance(one, tuple) and len(one) == 2 and isinstance(one[0], str | None) else (None, one)
        for one in items
    ]


def _call(item: object, owner: Owner, given: tuple[str | None, str | None], at_ns: int, number: int) -> Call:
    got = extract(item)
    book = _book(settings.read().prices)
    written, named = got.model or given[0], got.provider or given[1]
    if named != got.provider:
        got = extract(got, provider=named)
    provider, model = book.canonical(named, written, given[0])
    cost = None if got.cache_hit else _price(got, written, at_ns, got.service_tier, False, given[0])
    missing = got.usage.source == MISSING and not got.cache_hit
    return Call(
        id=f"{number:016x}",
        trace_id="",
        provider=provider,
        model=model,
        usage=got.usage,
        owner=owner,
        cost=cost if isinstance(cost, Cost) else None,
        unpriced=cost if isinstance(cost, Unpriced) and not missing else None,
        response_model=got.model,
        response_id=got.response_id,
        finish_reason=got.finish_reason,
        service_tier=got.service_tier,
        fees=got.fees,
        missing_reason="unknown" if missing else None,
        cache_hit=got.cache_hit,
        context_window_tokens=book.context_window(named, written, given[0]),
        problems=got.problems,
    )


def _run(calls: list[Call], workflow: str | None) -> Run:
    totals = total(calls)
    own: dict[str, list[Call]] = {}
    models: dict[tuple[str | None, str | None], Tally] = {}
    windows: dict[tuple[str | None, str | None], int | None] = {}
    for call in calls:
        if call.owner.agent is not None:
            own.setdefault(call.owner.agent, []).append(call)
        if not call.cache_hit:
            key = (call.provider, call.model)
            models.setdefault(key, Tally()).add(call)
            windows[key] = windows.get(key) or call.context_window_tokens
    agents = tuple(_agent(name, found) for name, found in own.items())
    times = [call.started_ns for call in calls if call.started_ns]
    return Run(
        id=secrets.token_hex(16),
        workflow=workflow or next((call.owner.workflow for call in calls if call.owner.workflow), None),
        started_ns=min(times, default=0),
        ended_ns=max((call.ended_ns for call in calls), default=0),
        outcome="ok",
        trace_ids=tuple(dict.fromkeys(call.trace_id for call in calls if call.trace_id)),
        totals=totals,
        agents=agents,
        models=tuple(ModelTotals(*key, tally.freeze(), windows[key]) for key, tally in models.items()),
        calls=tuple(calls),
        unattributed=total(call for call in calls if call.owner.agent is None),
        waste=waste(calls),
        efficiency=efficiency(totals, agents, calls, 0),
    )


def _agent(name: str, calls: list[Call]) -> AgentTotals:
    totals = total(calls)
    used = sorted({call.model for call in calls if call.model is not None and not call.cache_hit})
    return AgentTotals(name, totals, totals, 0, tuple(used))
