"""Which price applies to a (provider, model): override, then our own list, then the bundled table, then nothing."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from costspan.normalise.model_id import (
    LOCAL_PROVIDERS,
    Spelling,
    canonical_provider,
    clean_model,
    has_local_tag,
    is_variant,
    spellings,
)
from costspan.price import overlay, table
from costspan.price.overlay import PriceList, shipped
from costspan.price.rates import Rates, vector
from costspan.price.rows import TIERS
from costspan.price.schedule import period
from costspan.records import Unpriced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from costspan.price.rows import Row

_BATCH = frozenset({"batch", "batches", "on_demand_batch"})
_TIER_WORDS = {
    "flex": "flex",
    "on_demand_flex": "flex",
    "priority": "priority",
    "on_demand_priority": "priority",
    "fast": "fast",
    "ultrafast": "ultrafast",
}


_TAGS = frozenset({"openrouter", "huggingface"})
"""Providers whose own names may end in a tag."""
_CLOUDS = frozenset({"aws.bedrock", "gcp.gemini", "gcp.vertex_ai", "gcp.gen_ai"})
"""Who puts a region or a maker before a model's name."""
_PLACES = re.compile(r"(?:(?:[a-z0-9]+|[a-z]{2}-gov|[a-z]{2}(?:-[a-z]+)+-\d)[./])*")
"""Regions and makers: `us.anthropic.`, `eu-west-1/meta.`, `anthropic/`."""
_ADVICE = "add it to the file that COSTSPAN_PRICES names (docs/prices.md)"


class Missing(NamedTuple):
    """No price for a while: `since_ns <= time < until_ns`."""

    why: Unpriced
    since_ns: int
    until_ns: int


class Match(NamedTuple):
    """What a (provider, model) is, whatever the time: its canonical names and where its prices are."""

    provider: str | None
    model: str | None
    overrides: tuple[Row, ...] = ()
    rows: tuple[Row, ...] = ()
    found: table.Found | None = None
    alias: Match | None = None
    """What an override says that this model is the same as."""


def tier_of(provider: str | None, service_tier: str | None, batch: bool) -> str | None:
    """The tier that changes the price (one of `rows.TIERS`), None for the standard list.

    `service_tier` is the response's. Anthropic's priority tier is capacity bought ahead, at list price per token.
    """
    word = service_tier.strip().lower() if isinstance(service_tier, str) else ""
    if batch is True or word in _BATCH:
        return "batch"
    tier = _TIER_WORDS.get(word)
    return None if tier == "priority" and provider == "anthropic" else tier


def match(overrides: PriceList, provider: str | None, model: str | None, requested: str | None = None) -> Match:
    """Who was called and what it is priced as. Never raises; names nobody knows come back cleaned.

    A user's row is looked for under the model's name, then under its canonical name, then under the name that was
    `requested`, since people write the name that they ask for and responses tell a dated one. A row that has one of them
    exactly goes before a pattern.
    """
    who = canonical_provider(provider)
    if not isinstance(model, str) or not model.strip():
        return Match(who, None)
    literal = Spelling(who, clean_model(model))
    ways = spellings(provider, model)
    found = next((hit for way in ways if (hit := _in_lists(way))), None)
    if found is None:
        found = Match(*(ways[-1] if ways else literal))
    if not overrides.rows:
        return found
    named = (Spelling(found.provider, found.model),) if found.model is not None else ()
    way, rows = overrides.best((*ways, literal, *named, *_asked(provider, requested)))
    return found if way is None else _overridden(overrides, found, way[0], tuple(rows))


def _asked(provider: str | None, requested: str | None) -> tuple[Spelling, ...]:
    if not isinstance(requested, str) or not requested.strip():
        return ()
    return (*spellings(provider, requested), Spelling(canonical_provider(provider), clean_model(requested)))


def _in_lists(way: Spelling) -> Match | None:
    """The model in our own list and in the bundled table; the id is that of the list which prices it."""
    if way.provider is None or way.model.startswith("arn:"):
        return None
    if has_local_tag(way.model) and way.provider not in _TAGS:
        return None
    rows = shipped().matching(way.provider, way.model)
    found = table.find(way.provider, way.model)
    if found is not None and (shipped().refuses(way.provider, way.model) or _is_another(way, found)):
        found = None
    if not rows and found is None:
        return None
    own = next((row.id or (row.names[0] if way.model in row.names else None) for row in rows), None)
    return Match(way.provider, own or (found.id.lower() if found else way.model), rows=tuple(rows), found=found)


def _is_another(way: Spelling, found: table.Found) -> bool:
    """The table matches some names by a part of them; a name with words of its own is a model that it does not know yet."""
    told = ((_before(way.model, how, name), name) for how, name in table.names(found, way.model))
    known = [(before, name) for before, name in told if before is not None]
    mine = [name for before, name in known if not before or (way.provider in _CLOUDS and _PLACES.fullmatch(before))]
    return bool(known) and not any(is_variant(way.model[way.model.index(name) :], name) for name in mine)


def _before(model: str, how: table.How, name: str) -> str | None:
    """What stands before a listed name in a model's name; None where the listed name says nothing about it."""
    if how == "whole":
        return "" if model == name else None
    return model[: model.index(name)] if model.startswith(name) or (how == "part" and name in model) else None


def _overridden(overrides: PriceList, found: Match, provider: str | None, rows: tuple[Row, ...]) -> Match:
    """With the user's rows; where they say that the model is another one, it gets that one's id and window."""
    same_as = rows[-1].same_as
    if same_as is None:
        return found._replace(overrides=rows)
    alias = _target(overrides, provider, same_as)
    return Match(found.provider or alias.provider, alias.model, rows, found.rows, found.found, alias)


def _target(overrides: PriceList, provider: str | None, same_as: str) -> Match:
    """The model that a row says another one is: of the same provider, else of the one that its own name tells.

    Further `same_as` rows are not followed, so that no chain of them can be endless.
    """
    ways = (*spellings(provider, same_as), *spellings(None, same_as))
    for way in ways:
        rows = tuple(row for row in overrides.matching(way.provider, way.model) if row.same_as is None)
        found = _in_lists(way)
        if rows or found is not None:
            return (found or Match(*way))._replace(overrides=rows)
    return Match(provider, clean_model(same_as))


def window_of(found: Match | None) -> int | None:
    """The whole context window in tokens, from the first list that has it; that of a `same_as` where there is one."""
    while found is not None:
        window = next((row.context_window for row in (*found.overrides, *found.rows) if row.context_window is not None), None)
        if window is None:
            window = shipped().windows.get(found.provider or "", {}).get(found.model or "")
        if window is None and found.found is not None:
            window = found.found.context_window
        if window is not None:
            return window
        found = found.alias
    return None


def rates_of(found: Match, overrides: PriceList, at_ns: int, tier: str | None) -> Rates | Missing:
    """The rates of a match at a moment, in the order of evidence, or why there are none; with the time that they hold."""
    since, until = period(_edges(found, overrides, at_ns), at_ns)
    decided = _decide(found, overrides, at_ns, tier)
    if isinstance(decided, Unpriced):
        return Missing(decided, since, until)
    return replace(decided, since_ns=max(since, decided.since_ns), until_ns=min(until, decided.until_ns))


def _edges(found: Match, overrides: PriceList, at_ns: int) -> Iterator[int]:
    yield from overrides.edges(found.overrides, at_ns)
    yield from shipped().edges(found.rows, at_ns)
    yield from shipped().edges(shipped().tiers, at_ns)
    if found.found is not None:
        yield from table.edges(found.found, at_ns)


def _decide(found: Match, overrides: PriceList, at_ns: int, tier: str | None) -> Rates | Unpriced:
    if found.model is None:
        return Unpriced("unknown_model", "the call does not say which model it used")
    row = next(reversed(overrides.active(found.overrides, at_ns)), None)
    if row is not None and row.same_as is not None:
        return _aliased(found, row, overrides, at_ns, tier)
    compiled, of_tier = overlay.rates(overrides, found.overrides, at_ns, tier)
    if compiled is None and found.provider in LOCAL_PROVIDERS:
        return _local(found)
    if compiled is None:
        compiled, of_tier = overlay.rates(shipped(), found.rows, at_ns, tier)
    if compiled is None and found.found is not None:
        compiled, of_tier = _of_table(found, found.found, at_ns, tier)
    return _unknown(found, overrides) if compiled is None else _labelled(found, compiled, of_tier, at_ns, tier)


def _of_table(found: Match, listed: table.Found, at_ns: int, tier: str | None) -> tuple[Rates | None, bool]:
    """The table's rates for a tier, and whether it has them; where it has none, those of the tier that costs the same."""
    compiled, of_tier = table.rates(listed, at_ns, tier)
    rule = None if of_tier else _rule(found, at_ns, tier)
    return table.rates(listed, at_ns, rule.same_as) if rule is not None and rule.same_as in TIERS else (compiled, of_tier)


def _rule(found: Match, at_ns: int, tier: str | None) -> Row | None:
    if tier is None or found.provider is None or found.model is None:
        return None
    return shipped().factor(found.provider, found.model, tier, at_ns)


def _labelled(found: Match, compiled: Rates, of_tier: bool, at_ns: int, tier: str | None) -> Rates:
    """With the tier's factor where the list has no tier of its own, and with the name of the price row."""
    rule = None if of_tier or compiled.source == "override" else _rule(found, at_ns, tier)
    if rule is not None and rule.factor is not None:
        compiled = overlay.scaled(compiled, rule.factor)
    mark = f"+{tier}" if of_tier or rule is not None else ""
    return replace(compiled, ref=f"{found.provider or 'any'}/{found.model}@{compiled.ref}{mark}")


def _aliased(found: Match, row: Row, overrides: PriceList, at_ns: int, tier: str | None) -> Rates | Unpriced:
    target = _target(overrides, found.provider, row.same_as or "")
    priced = rates_of(target, overrides, at_ns, tier)
    if isinstance(priced, Missing):
        return Unpriced("unknown_model", f"the price file says same_as {row.same_as!r}, which has no price: {priced.why.detail}")
    if row.factor is not None:
        priced = overlay.scaled(priced, row.factor)
    return replace(priced, source="override")


def _local(found: Match) -> Rates | Unpriced:
    """Models on hardware of your own are billed by nobody; Ollama's cloud models are, and have no list price."""
    if found.provider == "ollama" and (found.model or "").endswith(("-cloud", ":cloud")):
        return Unpriced("unknown_model", f"{found.model} runs in Ollama's cloud, which has no list price per token; {_ADVICE}")
    return Rates(vector({}), ref=f"{found.provider}/{found.model}@local")


def _unknown(found: Match, overrides: PriceList) -> Unpriced:
    sellers = overrides.sellers(found.model or "")
    if sellers:
        who = f"nobody said who served {found.model!r}" if found.provider is None else f"{found.provider} has no price for it"
        reason: Literal["unknown_provider", "unknown_model"] = "unknown_provider" if found.provider is None else "unknown_model"
        advice = f"name that provider where the client is made (here: --provider {sellers[0]}), or leave it out of the row"
        return Unpriced(
            reason,
            f"{who}; your price file has {found.model!r} of {' and '.join(sellers)}: {advice}",
        )
    if found.provider is None:
        return Unpriced("unknown_provider", f"nobody said who served {found.model!r}, and its name does not tell; {_ADVICE}")
    if found.found is not None:
        return Unpriced("unknown_model", f"{found.provider}/{found.model} is not billed by tokens of text alone; {_ADVICE}")
    if not table.knows(found.provider) and found.provider not in shipped().rows:
        return Unpriced("unknown_provider", f"no price list for provider {found.provider!r}; {_ADVICE}")
    return Unpriced("unknown_model", f"{found.provider} has no price for {found.model!r}; {_ADVICE}")
