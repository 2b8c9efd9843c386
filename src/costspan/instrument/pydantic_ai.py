"""Pydantic AI: its own OpenTelemetry output, switched on for every agent that has no setting of its own, without content.

Its spans are read like those of any other instrumentation (`normalise/span_pydantic_ai.py`); a hook of the provider's client
beneath tells the same calls, and both are folded into one. Its metrics stay off: costspan has better ones.
A program that calls `Agent.instrument_all(...)` itself keeps its own settings.
"""

from __future__ import annotations

from typing import Any, Final

from costspan.instrument.spans import SWITCH

_DEFAULT: Final = "_instrument_default"
_QUIET: Final = ("include_content", "include_binary_content", "include_model_request_parameters")


class PydanticAI:
    """The adapter: sets the default for all agents, and takes it back."""

    def __init__(self) -> None:
        self._before: Any = None
        self._ours: Any = None

    def switch_on(self) -> None:
        from pydantic_ai import Agent

        self._before = getattr(Agent, _DEFAULT, False)
        if not self._before:
            self._ours = _settings()
            Agent.instrument_all(self._ours)

    def switch_off(self) -> None:
        from pydantic_ai import Agent

        if self._ours is not None and getattr(Agent, _DEFAULT, None) is self._ours:
            Agent.instrument_all(self._before)
        self._ours = None


def _settings() -> Any:
    import inspect

    from opentelemetry.metrics import NoOpMeterProvider
    from pydantic_ai.models.instrumented import InstrumentationSettings

    known = inspect.signature(InstrumentationSettings).parameters
    quiet = {name: False for name in _QUIET if name in known}
    return InstrumentationSettings(tracer_provider=SWITCH.provider, meter_provider=NoOpMeterProvider(), **quiet)


def adapter() -> PydanticAI:
    """What the registry asks every framework file for."""
    return PydanticAI()
