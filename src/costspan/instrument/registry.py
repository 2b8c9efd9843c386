"""The frameworks that can be switched on: one row each. A file is imported only when its framework is."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from costspan import guard
from costspan.errors import MissingExtraError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Adapter(Protocol):
    """What a framework file's `adapter()` returns."""

    def switch_on(self) -> None:
        """Hook the framework."""

    def switch_off(self) -> None:
        """Take every hook out again and end what is open."""


@dataclass(frozen=True, slots=True)
class Row:
    """One framework: its name here, the package that must be installed, the module whose import is the moment to hook,
    our file, the pip extra, and the kinds of span that it owns."""

    name: str
    requires: str
    trigger: str
    module: str
    extra: str
    owns: tuple[str, ...]


ROWS: Final = (
    Row(
        "langchain",
        "langchain_core",
        "langchain_core.language_models.chat_models",
        "costspan.instrument.langchain",
        "langchain",
        ("run", "agent", "tool", "step", "call"),
    ),
    Row("openai", "openai", "openai._base_client", "costspan.instrument.openai", "openai", ("call",)),
    Row("anthropic", "anthropic", "anthropic._base_client", "costspan.instrument.anthropic", "anthropic", ("call",)),
    Row(
        "crewai",
        "crewai",
        "crewai.events.event_bus",
        "costspan.instrument.crewai",
        "crewai",
        ("run", "agent", "tool", "step", "call"),
    ),
    Row(
        "openai_agents",
        "agents",
        "agents.tracing.provider",
        "costspan.instrument.openai_agents",
        "openai-agents",
        ("run", "agent", "tool", "call"),
    ),
    Row("pydantic_ai", "pydantic_ai", "pydantic_ai", "costspan.instrument.pydantic_ai", "pydantic-ai", ("agent", "tool", "call")),
    Row(
        "google_adk",
        "google.adk",
        "google.adk.telemetry",
        "costspan.instrument.google_adk",
        "google-adk",
        ("run", "agent", "tool", "call"),
    ),
)


class Adapters:
    """The adapters of one `enable()`. A framework that is not imported yet is hooked the moment it is."""

    def __init__(self) -> None:
        self.active: dict[str, Adapter] = {}
        self._off = False

    def add(self, row: Row) -> None:
        """Hook the framework now if it is loaded, else when its `trigger` is first imported."""
        if row.trigger in sys.modules:
            self._switch_on(row)
        else:
            import wrapt  # not at the top: it loads asyncio, and is only needed here

            wrapt.register_post_import_hook(lambda module: self._switch_on(row), row.trigger)  # noqa: ARG005

    def _switch_on(self, row: Row) -> None:
        if self._off or row.name in self.active:
            return
        with guard.Guard(f"switch on {row.name}"):
            adapter: Adapter = importlib.import_module(row.module).adapter()
            adapter.switch_on()
            self.active[row.name] = adapter

    def switch_off(self) -> None:
        """Take every hook out again; frameworks imported later stay untouched."""
        self._off = True
        for name, adapter in list(self.active.items())[::-1]:
            with guard.Guard(f"switch off {name}"):
                adapter.switch_off()
        self.active.clear()


def _installed(package: str) -> bool:
    """True when it could be imported. Of a name with a dot the outer package is loaded, and may be missing."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:
        return False


def switch_on(names: Iterable[str] | None = None) -> Adapters:
    """Switch on the named frameworks, or every one that is installed. A name that is unknown or not installed raises."""
    rows = {row.name: row for row in ROWS}
    adapters = Adapters()
    for name in rows if names is None else names:
        row = rows.get(name.replace("-", "_"))
        if row is None:
            message = f"no adapter named {name!r}; there are: {', '.join(sorted(rows))}"
            raise SettingsError(message)
        if _installed(row.requires):
            adapters.add(row)
        elif names is not None:
            message = f"{row.name} is not installed: pip install 'costspan[{row.extra}]'"
            raise MissingExtraError(message)
    return adapters
