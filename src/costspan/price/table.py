"""The bundled genai-prices table behind our own words: find a model, read its prices at a moment.

Only the data shipped with the installed package is read. Its lookup caches, which grow with every unknown name, its
background updates and its own snapshot switch are not used.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from costspan.price.rates import Rates, cliffs, vector
from costspan.price.schedule import moment, to_ns
from costspan.records import MONEY, ZERO

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_IDS: Final = {
    "aws.bedrock": "aws",
    "azure.ai.openai": "azure",
    "azure.ai.inference": "azure",
    "gcp.gemini": "google",
    "gcp.vertex_ai": "google",
    "gcp.gen_ai": "google",
    "mistral_ai": "mistral",
    "moonshot_ai": "moonshotai",
    "x_ai": "x-ai",
}
"""Our provider names where the table has other ids."""

_KINDS: Final = {
    "input_mtok": "input",
    "cache_read_mtok": "cache_read",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "input_audio_mtok": "input_audio",
    "output_mtok": "output",
    "output_reasoning_mtok": "reasoning",
    "output_audio_mtok": "output_audio",
}
_FEES: Final = {
    "web_searches_kcount": "web_search",
    "social_searches_kcount": "social_search",
    "storage_searches_kcount": "file_search",
    "code_executions_kcount": "code_execution",
    "rerank_searches_kcount": "rerank",
}
_UNTOLD: Final = frozenset({"output_image_mtok", "output_video_mtok"})
"""Output that costs ten times what text does, and that usage counts together with text."""
_CONTEXTS: Final[dict[str, dict[str, str]]] = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
    "fast": {"service_tier": "fast", "speed": "fast"},
}

_RESOLD: Final = frozenset({"flex", "priority"})
"""Tiers that Azure sells at the price at which OpenAI does."""

How = Literal["whole", "start", "part"]
_HOW: Final[dict[str, How]] = {"equals": "whole", "starts_with": "start", "contains": "part", "ends_with": "part"}


class Found(NamedTuple):
    """A model of the table: ours to pass around, its insides the library's. `own` is False for a model that the provider
    resells under another provider's list (Azure sells OpenAI's)."""

    id: str
    info: Any
    own: bool

    @property
    def context_window(self) -> int | None:
        window: int | None = self.info.context_window
        return window


@cache
def _providers() -> dict[str, Any]:
    from genai_prices.data import providers

    return {provider.id: provider for provider in providers}


def load() -> None:
    """Read the table into memory (about 1.6 MB of data) unless it is there already."""
    _providers()


def knows(provider: str) -> bool:
    """Whether the table has any model of this provider."""
    return _IDS.get(provider, provider) in _providers()


def find(provider: str, model: str) -> Found | None:
    """The model that `provider` sells under this name, or None. Nothing is remembered."""
    providers = _providers()
    owner = providers.get(_IDS.get(provider, provider))
    if owner is None:
        return None
    info = owner.find_model(model, all_providers=list(providers.values()))
    if info is None:
        return None
    return Found(str(info.id), info, any(info is mine for mine in owner.models))


def names(found: Found, model: str) -> Iterator[tuple[How, str]]:
    """The names under which the table lists a model, and whether each is a whole name, how one begins, or a part of one.

    Of patterns those that spell out `model` as a whole.
    """
    yield "start", found.id.lower()
    waiting = [found.info.match]
    while waiting:
        clause = waiting.pop()
        waiting.extend(getattr(clause, "or_", None) or getattr(clause, "and_", None) or ())
        for key, how in _HOW.items():
            if name := getattr(clause, key, None):
                yield how, name.lower()
        pattern = getattr(clause, "regex", None) or ""
        if pattern.startswith("^") and not pattern.startswith("^(?!") and pattern.endswith("$") and re.search(pattern, model):
            yield "whole", model


def rates(found: Found, at_ns: int, tier: str | None) -> tuple[Rates | None, bool]:
    """The model's rates at a moment, and whether they are those of the tier (False: the table has none, standard rates).

    (None, False) for a model that is not billed by tokens, or by tokens that our usage does not tell apart.
    """
    at = moment(at_ns)
    prices, of_tier = _prices(found, at, tier)
    tokens, above = _by_kind(prices)
    other = {key: value for key, value in prices.items() if key not in _KINDS}
    if (not tokens and any(key not in _FEES for key in other)) or not _UNTOLD.isdisjoint(other):
        return None, False
    starts = [edge for edge in _starts(found.info, variants=of_tier) if edge <= at_ns]
    compiled = Rates(
        vector(tokens),
        cliffs(tokens, above),
        request_usd=_per_thousand(other.get("requests_kcount")),
        fees={name: _per_thousand(other[key]) for key, name in _FEES.items() if key in other},
        ref=str(moment(max(starts)).date()) if starts else "undated",
    )
    return compiled, of_tier


def _prices(found: Found, at: datetime, tier: str | None) -> tuple[Mapping[str, Any], bool]:
    """Price keys and values in force, and whether they are the tier's; a tier that changes no price is one that is known.

    The table records tiers from October 2026 on, providers sold them before: an earlier call pays what the tier costs
    in relation to the standard list of the tier's first recorded day.
    """
    info = found.info
    standard = dict(_stated(info.get_prices(at)))
    context = _CONTEXTS.get(tier or "")
    if context is None or not (found.own or tier in _RESOLD):
        return standard, False
    changed = dict(standard)
    used = False
    for variant in reversed([variant for variant in info.price_variants or () if variant.when.items() <= context.items()]):
        of_tier: dict[str, Any] | None = dict(_stated(variant.prices))
        if of_tier is not None and variant.constraint is not None and not variant.constraint.active(at):
            of_tier = _earlier(info, standard, of_tier, variant.constraint)
        if of_tier is not None:
            changed.update(of_tier)
            used = True
    return changed, used


def _earlier(info: Any, standard: Mapping[str, Any], of_tier: Mapping[str, Any], constraint: Any) -> dict[str, Any] | None:
    """A tier's prices before its first recorded day, from its relation to the standard prices of that day.

    None where the one tells nothing about the other.
    """
    start = getattr(constraint, "start_date", None)
    if start is None:
        return None
    then = dict(_stated(info.get_prices(datetime(start.year, start.month, start.day, tzinfo=UTC))))
    if then == standard:
        return dict(of_tier)
    related = {key: _related(standard.get(key), price, then.get(key)) for key, price in of_tier.items()}
    return {key: price for key, price in related.items() if price is not None} or None


def _related(now: Any, price: Any, later: Any) -> Any:
    """`price` times now / later, for plain prices and for prices with the same thresholds; None when that means nothing."""
    if isinstance(now, Decimal) and isinstance(price, Decimal) and isinstance(later, Decimal):
        return MONEY.divide(MONEY.multiply(now, price), later) if later else None
    steps: list[Any] = [getattr(value, "tiers", None) for value in (now, price, later)]
    if any(step is None or [tier.start for tier in step] != [tier.start for tier in steps[0]] for step in steps):
        return None
    base = _related(now.base, price.base, later.base)
    tiers = [_related(*(tier.price for tier in same)) for same in zip(*steps, strict=True)]
    if base is None or None in tiers:
        return None
    first = [type(tier)(start=tier.start, price=cost) for tier, cost in zip(now.tiers, tiers, strict=True)]
    return type(now)(base=base, tiers=first)


def _stated(prices: Any) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in vars(prices).items() if value is not None and not key.startswith("_"))


def _by_kind(prices: Mapping[str, Any]) -> tuple[dict[str, Decimal], dict[int, dict[str, Decimal]]]:
    tokens: dict[str, Decimal] = {}
    above: dict[int, dict[str, Decimal]] = {}
    for key, kind in _KINDS.items():
        value = prices.get(key)
        if isinstance(value, Decimal):
            tokens[kind] = value
        elif value is not None:
            tokens[kind] = value.base
            for step in value.tiers:
                above.setdefault(step.start, {})[kind] = step.price
    return tokens, above


def _per_thousand(price: Any) -> Decimal:
    return ZERO if not isinstance(price, Decimal) else MONEY.scaleb(price, -3)


def _constraints(info: Any, *, variants: bool) -> Iterator[Any]:
    if isinstance(info.prices, list):
        yield from (price.constraint for price in info.prices if price.constraint is not None)
    if variants:
        yield from (variant.constraint for variant in info.price_variants or () if variant.constraint is not None)


def _starts(info: Any, *, variants: bool = True) -> Iterator[int]:
    for constraint in _constraints(info, variants=variants):
        start = getattr(constraint, "start_date", None)
        if start is not None:
            yield to_ns(datetime(start.year, start.month, start.day, tzinfo=UTC))


def edges(found: Found, at_ns: int) -> Iterator[int]:
    """Moments near `at_ns` at which the model's prices may change, in nanoseconds since the epoch."""
    info, at = found.info, moment(at_ns)
    yield from _starts(info)
    for constraint in _constraints(info, variants=True):
        for clock in (getattr(constraint, "start_time", None), getattr(constraint, "end_time", None)):
            if clock is not None:
                for days in (-1, 0, 1):
                    yield to_ns(datetime.combine((at + timedelta(days=days)).date(), clock, clock.tzinfo or UTC))


def newest_start(before: float) -> float:
    """The latest day, in seconds since the epoch and not after `before`, on which the table has a price begin."""
    limit = min(before, Path(_file()).stat().st_mtime)
    return max((start for start in _all_starts() if start <= limit), default=0.0)


@cache
def _all_starts() -> frozenset[float]:
    return frozenset(start / 1e9 for provider in _providers().values() for info in provider.models for start in _starts(info))


def _file() -> str:
    from genai_prices import data

    return str(data.__file__)
