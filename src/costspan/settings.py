"""One frozen `Settings`, read once: arguments of `enable()` over environment variables over defaults.

OpenTelemetry's own variables are used wherever one exists; ours are few and start with `COSTSPAN_`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from costspan import guard
from costspan.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

SWITCHES = ("on", "off")
_WORDS = {"on": "on", "1": "on", "true": "on", "yes": "on", "off": "off", "0": "off", "false": "off", "no": "off"}
"""The ways to say on and off, in lower case."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What costspan does in this process.

    `summary`: on, off or auto. `traces` and `metrics` are the exporters' names as OpenTelemetry's variables give them
    (`otlp`, `prometheus`, `console`, `none`); empty when nobody said anything, and then nothing is opened.
    `metrics_go_with_spans`: OTLP metrics go to the address that spans go to.
    `ask_stream_usage`: ask OpenAI-compatible providers for the usage of streams, and hide their extra chunk from the program.
    """

    disabled: bool = False
    summary: str = "auto"
    record_dir: Path | None = None
    prices: Path | None = None
    budgets: Path | None = None
    estimate: bool = False
    history: Path | None = None
    ask_stream_usage: bool = False
    traces: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    metrics_go_with_spans: bool = True
    prometheus_host: str = "localhost"
    prometheus_port: int = 9464
    multiprocess_dir: Path | None = None
    metric_export_interval_seconds: float = 60.0


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings from environment variables. Never raises.

    A value that is not understood counts as if it was not set, and is told in one line with what the variable accepts: a
    mistyped variable must not cost anybody the measurement.
    """
    env = os.environ if environment is None else environment
    otlp = bool(env.get("OTEL_EXPORTER_OTLP_ENDPOINT"))
    return Settings(
        disabled=env.get("OTEL_SDK_DISABLED", "").strip().lower() == "true",
        summary=_choice(env, "COSTSPAN_SUMMARY", "auto", ("on", "off", "auto")),
        record_dir=_path(env, "COSTSPAN_RECORD_DIR"),
        prices=_path(env, "COSTSPAN_PRICES"),
        budgets=_path(env, "COSTSPAN_BUDGETS"),
        estimate=_choice(env, "COSTSPAN_ESTIMATE", "off", SWITCHES) == "on",
        history=_history(env),
        ask_stream_usage=_choice(env, "COSTSPAN_ASK_STREAM_USAGE", "off", SWITCHES) == "on",
        traces=_exporters(env, "OTEL_TRACES_EXPORTER", otlp or bool(env.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"))),
        metrics=_exporters(env, "OTEL_METRICS_EXPORTER", otlp or bool(env.get("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"))),
        metrics_go_with_spans=_address(env, "METRICS") == _address(env, "TRACES"),
        prometheus_host=env.get("OTEL_EXPORTER_PROMETHEUS_HOST", "").strip() or "localhost",
        prometheus_port=int(_number(env, "OTEL_EXPORTER_PROMETHEUS_PORT", 9464, highest=65535)),
        multiprocess_dir=_path(env, "PROMETHEUS_MULTIPROC_DIR"),
        metric_export_interval_seconds=_number(env, "OTEL_METRIC_EXPORT_INTERVAL", 60_000) / 1000,
    )


def with_arguments(found: Settings, given: Mapping[str, Any]) -> Settings:
    """The settings with what a program says in its code; `given` has the names of `enable()`'s arguments, None for none.

    Raises SettingsError for a value that cannot be used.
    """
    readers = {name: read_one for name, read_one in _ARGUMENTS.items() if given.get(name) is not None}
    changes = {_NAMED.get(name, name): read_one(found, given[name]) for name, read_one in readers.items()}
    return replace(found, **changes)


def _choice(env: Mapping[str, str], name: str, default: str, allowed: tuple[str, ...]) -> str:
    value = env.get(name, "").strip().lower() or default
    value = _WORDS.get(value, value)
    if value not in allowed:
        accepts = ", ".join(allowed)
        guard.warn_once(name, f"{name}={env[name]!r:.80} is not understood; set it to one of {accepts}; until then {default}")
        return default
    return value


def _path(env: Mapping[str, str], name: str) -> Path | None:
    value = env.get(name, "").strip()
    return Path(value).expanduser() if value else None


def history_path(environment: Mapping[str, str] | None = None) -> Path:
    """Where the history is unless told otherwise: `costspan/history.db` in the platform's folder for data of programs."""
    env = os.environ if environment is None else environment
    home = Path.home()
    if env.get("XDG_DATA_HOME"):
        folder = Path(env["XDG_DATA_HOME"])
    elif sys.platform == "win32":
        folder = Path(env.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        folder = home / "Library" / "Application Support"
    else:
        folder = home / ".local" / "share"
    return folder / "costspan" / "history.db"


def _history(env: Mapping[str, str]) -> Path | None:
    """`COSTSPAN_HISTORY`: on, off, or a file."""
    value = env.get("COSTSPAN_HISTORY", "").strip()
    switch = _WORDS.get(value.lower())
    if switch == "on":
        return history_path(env)
    return Path(value).expanduser() if value and switch is None else None


def path(name: str, given: object) -> Path:
    """A file or folder that a program names in its code, `~` included; SettingsError when it is none."""
    if isinstance(given, (str, os.PathLike)):
        return Path(os.fsdecode(given)).expanduser()
    message = f"{name}={given!r:.40} is no path: give a string or a pathlib.Path"
    raise SettingsError(message)


def port(given: object) -> int:
    """A port that a program names in its code; SettingsError when it is none."""
    if isinstance(given, int) and not isinstance(given, bool) and 0 <= given <= 65535:
        return given
    message = f"metrics_port={given!r:.40} is no port: give a number from 0 to 65535"
    raise SettingsError(message)


def _exporters(env: Mapping[str, str], name: str, otlp_endpoint: bool) -> tuple[str, ...]:
    """The names listed in an `OTEL_*_EXPORTER` variable; `otlp` when only an endpoint is given, as the convention has it."""
    value = env.get(name, "").strip().lower()
    if not value:
        return ("otlp",) if otlp_endpoint else ()
    return tuple(part for part in (item.strip() for item in value.split(",")) if part and part != "none")


def _address(env: Mapping[str, str], signal: str) -> str:
    """Host and port that a signal goes to by OTLP."""
    return urlsplit(env.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or env.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")).netloc


def _number(env: Mapping[str, str], name: str, default: float, highest: float = 1e12) -> float:
    text = env.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= highest:
        guard.warn_once(name, f"{name}={text!r:.80} is not a number between 0 and {highest:g}; until it is {default:g} counts")
        return default
    return value


def _exporter_names(_: Settings, given: str | Iterable[str]) -> tuple[str, ...]:
    names = (given,) if isinstance(given, str) else given
    return tuple(name for name in names if name != "none")


def _history_file(found: Settings, given: object) -> Path | None:
    """True keeps to the file of the variable, or to the user's own."""
    if isinstance(given, bool):
        return (found.history or history_path()) if given else None
    return path("history", given)


_NAMED = {"metrics_port": "prometheus_port"}
"""Argument of `enable()` -> setting, where they have two names."""
_ARGUMENTS: dict[str, Callable[[Settings, Any], Any]] = {
    "summary": lambda _, given: "on" if given else "off",
    "record_dir": lambda _, given: path("record_dir", given),
    "metrics": _exporter_names,
    "metrics_port": lambda _, given: port(given),
    "prices": lambda _, given: path("prices", given),
    "ask_stream_usage": lambda _, given: given,
    "history": _history_file,
}
"""Argument of `enable()` -> its value as a setting."""
