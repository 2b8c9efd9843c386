"""The budget file `budgets.yaml`: parsed and checked into frozen records.

One entry is a budget: what it covers (`match`) and how much that may cost. Limits are US dollars for a calendar day
(`day_usd`) or month (`month_usd`), and for one run (`run_usd`, `run_tokens`, `run_calls`). `labels` are put on its
alerts, so that Alertmanager can send them to their owners. Money is read as Decimal from the text that was written.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from costspan.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MATCH_KEYS: Final = ("workflow", "agent", "model", "provider", "job", "environment")
"""What a budget can be matched by. The first four are labels of the metrics, the last two are given by the scraper."""
CALL_KEYS: Final = frozenset({"agent", "model", "provider"})
"""Matching by one of these needs the dollars of calls, not of workflows."""
MONEY_KEYS: Final = ("day_usd", "month_usd", "run_usd")
COUNT_KEYS: Final = ("run_tokens", "run_calls")
_KEYS: Final = ("name", "match", *MONEY_KEYS, *COUNT_KEYS, "labels")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_TAKEN: Final = frozenset({"budget", "alertname", "severity", "category", "limit", "day", "month", *MATCH_KEYS, "instance", "le"})


@dataclass(frozen=True, slots=True)
class Limit:
    """One budget. `match` maps a key of MATCH_KEYS to the values it accepts; empty matches everything.

    `day_usd`, `month_usd` and `run_usd` are US dollars, `run_tokens` and `run_calls` counts; None is no limit.
    """

    name: str
    match: Mapping[str, tuple[str, ...]]
    day_usd: Decimal | None = None
    month_usd: Decimal | None = None
    run_usd: Decimal | None = None
    run_tokens: int | None = None
    run_calls: int | None = None
    labels: Mapping[str, str] | None = None


def read(path: Path) -> tuple[Limit, ...]:
    """The budgets of a file, in its order. Raises SettingsError with the file, the budget and what to write instead."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        message = f"budget file {path}: cannot be read ({why}); check --budgets or COSTSPAN_BUDGETS"
        raise SettingsError(message) from error
    return parse(text, origin=str(path))


def trouble(path: Path | None) -> str:
    """Why no budget can be kept to although a file is named, in one line; "" when all is well."""
    try:
        if path is not None:
            read(path)
    except SettingsError as error:
        return f"no budget is shown: {error}"
    return ""


def parse(text: str, *, origin: str = "budgets.yaml") -> tuple[Limit, ...]:
    """The budgets in YAML text. Raises SettingsError with one line that says where and what to do."""
    import yaml

    try:
        # BaseLoader keeps scalars as they were written: 0.1 dollars stay 0.1.
        document: object = yaml.load(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        message = f"{origin}: not valid YAML: {' '.join(str(error).split())}"
        raise SettingsError(message) from error
    if not isinstance(document, dict) or not isinstance(document.get("budgets"), list):
        message = f"{origin}: expected a list under 'budgets:', each with a name and a limit such as day_usd: 10"
        raise SettingsError(message)
    _known(document, ("version", "budgets"), origin)
    if document.get("version", "1") != "1":
        message = f"{origin}: version {document['version']!r} is not known; this costspan reads version: 1"
        raise SettingsError(message)
    limits = tuple(_limit(entry, f"{origin}: budget {number}") for number, entry in enumerate(document["budgets"], 1))
    _distinct(limits, origin)
    return limits


def _limit(entry: object, where: str) -> Limit:
    if not isinstance(entry, dict):
        message = f"{where}: expected name, match and limits, found {entry!r}"
        raise SettingsError(message)
    name = entry.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        message = f"{where}: name must be 1 to 63 letters, digits, '-', '_' or '.', found {name!r}"
        raise SettingsError(message)
    where = f"{where} ({name})"
    _known(entry, _KEYS, where)
    match = _match(entry.get("match", {}), where)
    money = {key: _money(entry[key], f"{where}: {key}") for key in MONEY_KEYS if key in entry}
    counts = {key: _count(entry[key], f"{where}: {key}") for key in COUNT_KEYS if key in entry}
    if not money and not counts:
        message = f"{where}: no limit; give at least one of {', '.join((*MONEY_KEYS, *COUNT_KEYS))}"
        raise SettingsError(message)
    by_call = sorted(CALL_KEYS & match.keys())
    if by_call and ("run_usd" in money or counts):
        message = f"{where}: run limits are known per workflow, they cannot be matched by {', '.join(by_call)}"
        raise SettingsError(message)
    return Limit(name, match, money.get("day_usd"), money.get("month_usd"), money.get("run_usd"),
                 counts.get("run_tokens"), counts.get("run_calls"), _labels(entry.get("labels", {}), where))  # fmt: skip


def _match(value: object, where: str) -> dict[str, tuple[str, ...]]:
    if not isinstance(value, dict):
        message = f"{where}: match must be names with values, such as {{workflow: research}}"
        raise SettingsError(message)
    _known(value, MATCH_KEYS, f"{where}: match")
    match: dict[str, tuple[str, ...]] = {}
    for key, wanted in value.items():
        values = tuple(wanted) if isinstance(wanted, list) else (wanted,)
        if not values or not all(isinstance(item, str) for item in values):
            message = f"{where}: match.{key} must be a value or a list of values"
            raise SettingsError(message)
        match[key] = values
    return match


def _labels(value: object, where: str) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        message = f"{where}: labels must be names with text, such as {{team: search}}"
        raise SettingsError(message)
    for name in value:
        if not _LABEL.fullmatch(str(name)) or name in _TAKEN or str(name).startswith("__"):
            message = (
                f"{where}: label {name!r} cannot be used; take letters, digits and '_', and none of {', '.join(sorted(_TAKEN))}"
            )
            raise SettingsError(message)
    return dict(value)


def _money(value: object, where: str) -> Decimal:
    try:
        amount = Decimal(str(value).replace("_", ""))
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount <= 0:
        message = f"{where}: {value!r} is not an amount of US dollars above 0"
        raise SettingsError(message)
    return amount


def _count(value: object, where: str) -> int:
    text = str(value).replace("_", "")
    if not text.isdecimal() or int(text) == 0:
        message = f"{where}: {value!r} is not a whole number above 0"
        raise SettingsError(message)
    return int(text)


def _known(entry: Mapping[object, object], known: tuple[str, ...], where: str) -> None:
    for key in entry:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            message = f"{where}: unknown key {key!r}; {hint}"
            raise SettingsError(message)


def _distinct(limits: tuple[Limit, ...], origin: str) -> None:
    names = [limit.name for limit in limits]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        message = f"{origin}: two budgets are called {twice[0]!r}; names must differ, they are labels of the alerts"
        raise SettingsError(message)
