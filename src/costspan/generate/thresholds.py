"""The knobs of the alert rules, read from `thresholds.yml`; the numbers have no other home.

Durations stay text as Prometheus writes them (`90s`, `15m`, `1d`); `seconds()` turns one into a number.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from costspan.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION: Final = re.compile(r"(?:\d+(?:ms|[smhdw]))+")
_PART: Final = re.compile(r"(\d+)(ms|[smhdw])")
_HERE: Final = Path(__file__).resolve()
SHIPPED: Final = (_HERE.parent / "thresholds.yml", _HERE.parents[3] / "deploy" / "prometheus" / "thresholds.yml")
"""Where the numbers that we ship are: inside an installed wheel, or in a checkout."""


class Duration(str):
    """A span of time in Prometheus' notation."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Rules:
    interval: Duration
    quality_interval: Duration
    runbook_url: str
    jobs: str


@dataclass(frozen=True, slots=True)
class Ledger:
    fresh: Duration
    lookback: Duration
    slack: Duration


@dataclass(frozen=True, slots=True)
class Calendar:
    utc_offset_hours: float


@dataclass(frozen=True, slots=True)
class Budget:
    warn_ratio: float
    burn_fast_factor: float
    burn_fast_for: Duration
    burn_slow_factor: float
    burn_slow_for: Duration
    forecast_for: Duration
    none_set_for: Duration


@dataclass(frozen=True, slots=True)
class RunLimits:
    cost_usd: float
    calls: float
    tokens: float


@dataclass(frozen=True, slots=True)
class WorkflowSpend:
    usd_per_hour: float
    for_: Duration


@dataclass(frozen=True, slots=True)
class Spike:
    baseline: Duration
    sigmas: float
    ratio: float
    floor_usd: float
    history_hours: float
    same_hour_last_week_ratio: float
    for_: Duration


@dataclass(frozen=True, slots=True)
class Unpriced:
    window: Duration


@dataclass(frozen=True, slots=True)
class Estimated:
    ratio: float
    floor_tokens: float
    for_: Duration


@dataclass(frozen=True, slots=True)
class Unreported:
    ratio: float
    floor_calls: float
    for_: Duration


@dataclass(frozen=True, slots=True)
class Cache:
    ratio: float
    usual_share: float
    floor_tokens: float
    for_: Duration


@dataclass(frozen=True, slots=True)
class ContextWindow:
    ratio: float
    floor_calls: float
    for_: Duration


@dataclass(frozen=True, slots=True)
class CostPerRun:
    ratio: float
    floor_usd: float
    floor_runs: float
    for_: Duration


@dataclass(frozen=True, slots=True)
class PriceTable:
    days: float
    for_: Duration


@dataclass(frozen=True, slots=True)
class Telemetry:
    missing_after: Duration
    missing_for: Duration
    down_for: Duration
    blind_for: Duration


@dataclass(frozen=True, slots=True)
class Thresholds:
    """All knobs. Every field is a section of the file, every field of a section one line of it."""

    rules: Rules
    ledger: Ledger
    calendar: Calendar
    budget: Budget
    run_in_flight: RunLimits
    run_finished: RunLimits
    workflow_spend: WorkflowSpend
    spike: Spike
    unpriced: Unpriced
    estimated: Estimated
    unreported: Unreported
    cache: Cache
    context: ContextWindow
    cost_per_run: CostPerRun
    price_table: PriceTable
    telemetry: Telemetry


_SECTIONS: Final[dict[str, type]] = {
    "rules": Rules,
    "ledger": Ledger,
    "calendar": Calendar,
    "budget": Budget,
    "run_in_flight": RunLimits,
    "run_finished": RunLimits,
    "workflow_spend": WorkflowSpend,
    "spike": Spike,
    "unpriced": Unpriced,
    "estimated": Estimated,
    "unreported": Unreported,
    "cache": Cache,
    "context": ContextWindow,
    "cost_per_run": CostPerRun,
    "price_table": PriceTable,
    "telemetry": Telemetry,
}


def seconds(duration: str) -> float:
    """A Prometheus duration in seconds; `1h30m` is 5400. Raises SettingsError when it is not one."""
    if not _DURATION.fullmatch(duration):
        message = f"{duration!r} is not a duration; write it like 90s, 15m, 6h or 7d"
        raise SettingsError(message)
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(duration))


def notation(amount_seconds: float) -> Duration:
    """Seconds in Prometheus' notation, in the largest unit that divides them: 5400 is `90m`, 0.5 is `500ms`."""
    milliseconds = round(amount_seconds * 1000)
    for unit in ("d", "h", "m", "s"):
        size = round(_UNITS[unit] * 1000)
        if milliseconds and milliseconds % size == 0:
            return Duration(f"{milliseconds // size}{unit}")
    return Duration(f"{milliseconds}ms")


def read(path: Path | None = None) -> Thresholds:
    """The shipped thresholds, with what the file at `path` says laid over them. Raises SettingsError on a bad file."""
    shipped = next((place for place in SHIPPED if place.is_file()), None)
    if shipped is None:
        message = "thresholds.yml is missing from this installation; reinstall costspan or give --thresholds FILE"
        raise SettingsError(message)
    sections = _load(shipped)
    if path is not None:
        for name, values in _load(path).items():
            sections[name] = {**sections[name], **values}
    return build(sections, origin=str(path or shipped))


def build(sections: Mapping[str, Mapping[str, object]], *, origin: str) -> Thresholds:
    """Thresholds from plain mappings; every section and knob must be there. Raises SettingsError."""
    made: dict[str, Any] = {name: _section(name, kind, sections.get(name, {}), origin) for name, kind in _SECTIONS.items()}
    return Thresholds(**made)


def _load(path: Path) -> dict[str, dict[str, object]]:
    """The sections of one file, their names and knobs checked."""
    import yaml

    try:
        document: object = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"{path}: cannot be read as YAML ({str(error).splitlines()[0]})"
        raise SettingsError(message) from error
    sections: dict[str, dict[str, object]] = {}
    for name, values in _mapping(document or {}, str(path)).items():
        if name not in _SECTIONS:
            raise SettingsError(_unknown(str(path), name, list(_SECTIONS)))
        known = [_knob(field.name) for field in dataclasses.fields(_SECTIONS[name])]
        knobs = _mapping(values, f"{path}: {name}")
        for knob in knobs:
            if knob not in known:
                raise SettingsError(_unknown(f"{path}: {name}", knob, known))
        sections[name] = knobs
    return sections


def _mapping(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        message = f"{where}: expected names with values below, found {type(value).__name__}"
        raise SettingsError(message)
    return {str(key): item for key, item in value.items()}


def _section(name: str, kind: type, values: Mapping[str, object], origin: str) -> object:
    made: dict[str, object] = {}
    for field in dataclasses.fields(kind):
        knob = _knob(field.name)
        if knob not in values:
            message = f"{origin}: {name}.{knob} is missing"
            raise SettingsError(message)
        made[field.name] = _value(values[knob], str(field.type), f"{origin}: {name}.{knob}")
    return kind(**made)


def _value(value: object, kind: str, where: str) -> object:
    if kind == "Duration":
        text = str(value)
        try:
            seconds(text)
        except SettingsError as error:
            message = f"{where}: {error}"
            raise SettingsError(message) from error
        return Duration(text)
    if kind == "float":
        if isinstance(value, bool) or not isinstance(value, int | float):
            message = f"{where}: {value!r} is not a number"
            raise SettingsError(message)
        return value
    if not isinstance(value, str) or not value:
        message = f"{where}: {value!r} is not a text"
        raise SettingsError(message)
    return value


def _knob(field_name: str) -> str:
    """`for` is a word of Python, so its field is called `for_`."""
    return field_name.rstrip("_")


def _unknown(where: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    return f"{where}: unknown name {name!r}; {hint}"
