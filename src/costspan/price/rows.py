"""The format of our own price rows, used by the shipped overlay and by a user's override file (docs/prices.md).

A row is a JSON object:

    {"provider": "openai", "model": "gpt-4o*", "input": 2.0, "output": 8.0, "cache_read": 1.0,
     "above": [{"input_tokens": 200000, "input": 4.0}], "fees": {"web_search": 0.01}, "request": 0.005,
     "from": "2026-01-01", "until": "2026-07-01T00:00:00Z", "tier": "batch", "context_window": 200000, "source": "https://…"}
    {"provider": "azure", "model": "my-deployment", "same_as": "gpt-4o", "factor": 1.1}

Prices are USD per million tokens; `fees` and `request` USD each; times are UTC.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from costspan.normalise.model_id import canonical_provider, clean_model
from costspan.price.rates import FOREVER_NS, KINDS, NEVER_NS
from costspan.price.schedule import to_ns

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXT: Final = ("provider", "model", "id", "same_as", "tier", "during", "source", "from", "until")
_KEYS: Final = frozenset((*KINDS, *_TEXT, "above", "thinking", "fees", "request", "factor", "context_window", "note"))
TIERS: Final = ("batch", "flex", "priority", "fast", "ultrafast")
EXACT: Final = 10_000
"""How well a row fits a name that it has letter by letter; no pattern is that long."""


@dataclass(slots=True)
class Row:
    """One price of one model (or of several names) in one period. `prices` are USD per million tokens by kind."""

    provider: str | None
    names: tuple[str, ...]
    id: str | None = None
    prices: dict[str, Decimal] = field(default_factory=dict)
    above: dict[int, dict[str, Decimal]] = field(default_factory=dict)
    thinking: Row | None = None
    fees: dict[str, Decimal] = field(default_factory=dict)
    request_usd: Decimal = Decimal(0)
    same_as: str | None = None
    factor: Decimal | None = None
    tier: str | None = None
    during: str | None = None
    context_window: int | None = None
    since_ns: int = NEVER_NS
    until_ns: int = FOREVER_NS

    def fit(self, provider: str | None, model: str) -> int:
        """How well this row fits a cleaned name: 0 not at all, the longer its literal part the better, an exact name best."""
        if self.provider is not None and provider != self.provider:
            return 0
        best = 0
        for name in self.names:
            if name == model:
                return EXACT
            if "*" in name and fnmatchcase(model, name):
                best = max(best, len(name))
        return best


def decode(text: str) -> object:
    """JSON with every number exact: fractions become Decimal, never float."""
    return json.loads(text, parse_float=Decimal)


def read_row(raw: object) -> Row:
    """A row from its JSON object. Raises ValueError that says which key is wrong and what it accepts."""
    if not isinstance(raw, dict):
        raise ValueError(  # noqa: TRY004 - whatever is wrong with a row is told in one way
            'must be an object like {"provider": …, "model": …, "input": …, "output": …}'
        )
    unknown = sorted(set(raw) - _KEYS)
    if unknown:
        message = f"unknown key {unknown[0]!r}; prices are {', '.join(KINDS)}"
        raise ValueError(message)
    row = Row(_provider(raw), _names(raw), _text(raw, "id"), *_prices(raw))
    if "thinking" in raw:
        thinking = _object(raw, "thinking")
        row.thinking = Row(row.provider, row.names, row.id, *_prices(thinking))
    row.fees = {str(name): _money(price, f"fees.{name}") for name, price in _object(raw, "fees").items()}
    row.request_usd = _money(raw.get("request", 0), "request")
    row.same_as, row.during = _text(raw, "same_as"), _text(raw, "during")
    row.factor = _money(raw["factor"], "factor") if "factor" in raw else None
    row.tier = _tier(raw)
    row.context_window = _whole(raw["context_window"], "context_window") if "context_window" in raw else None
    row.since_ns, row.until_ns = _time(raw, "from", NEVER_NS), _time(raw, "until", FOREVER_NS)
    _check(row)
    return row


def _check(row: Row) -> None:
    if not row.prices and row.same_as is None:
        raise ValueError('has no price; give "input" and "output" in USD per million tokens, or "same_as"')
    if row.prices and row.same_as is not None:
        raise ValueError('has both prices and "same_as"; keep one of them')
    if row.prices and "input" not in row.prices and "output" not in row.prices:
        raise ValueError('needs "input" or "output" in USD per million tokens')
    if row.until_ns <= row.since_ns:
        raise ValueError('"until" is not after "from"')


def _provider(raw: Mapping[str, object]) -> str | None:
    name = _text(raw, "provider")
    return None if name is None or name == "*" else canonical_provider(name) or name


def _names(raw: Mapping[str, object]) -> tuple[str, ...]:
    model = raw.get("model")
    given = model if isinstance(model, list) else [model]
    names = [name for name in given if isinstance(name, str) and name.strip()]
    if not names or len(names) != len(given):
        raise ValueError('"model" must be a name, a name with *, or a list of names')
    return tuple(clean_model(name) for name in names)


def _prices(raw: Mapping[str, object]) -> tuple[dict[str, Decimal], dict[int, dict[str, Decimal]]]:
    prices = {kind: _money(raw[kind], kind) for kind in KINDS if raw.get(kind) is not None}
    above: dict[int, dict[str, Decimal]] = {}
    steps = raw.get("above", [])
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise ValueError('"above" must be a list like [{"input_tokens": 200000, "input": 4.0}]')
    for step in steps:
        threshold = _whole(step.get("input_tokens"), "above.input_tokens")
        above[threshold] = {kind: _money(step[kind], f"above.{kind}") for kind in KINDS if step.get(kind) is not None}
    return prices, above


def _text(raw: Mapping[str, object], key: str) -> str | None:
    value = raw.get(key)
    if value is not None and not isinstance(value, str):
        message = f"{key!r} must be text, not {value!r:.40}"
        raise ValueError(message)
    return value


def _object(raw: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = raw.get(key, {})
    if not isinstance(value, dict):
        message = f"{key!r} must be an object, not {value!r:.40}"
        raise ValueError(message)  # noqa: TRY004 - as above
    return value


def _money(value: object, key: str) -> Decimal:
    """A number of dollars (or a factor): finite, not negative; written as a number or as text."""
    try:
        amount = Decimal(value) if isinstance(value, int | str | Decimal) and not isinstance(value, bool) else None
    except ArithmeticError:
        amount = None
    if amount is None or not amount.is_finite() or not 0 <= amount < 10**9:
        message = f"{key!r} is {value!r:.40}, not a price of 0 or more"
        raise ValueError(message)
    return amount


def _whole(value: object, key: str) -> int:
    if type(value) is not int or value < 0:
        message = f"{key!r} is {value!r:.40}, not a whole number"
        raise ValueError(message)
    return value


def _tier(raw: Mapping[str, object]) -> str | None:
    tier = _text(raw, "tier")
    if tier is not None and tier not in TIERS:
        message = f"'tier' is {tier!r}, not one of {', '.join(TIERS)}"
        raise ValueError(message)
    return tier


def _time(raw: Mapping[str, object], key: str, missing: int) -> int:
    text = _text(raw, key)
    if text is None:
        return missing
    try:
        return to_ns(datetime.fromisoformat(text))
    except ValueError:
        message = f"{key!r} is {text!r}, not a date like {date(2026, 1, 31).isoformat()} or a time like 2026-01-31T16:00:00Z"
        raise ValueError(message) from None
