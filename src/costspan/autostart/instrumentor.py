"""Zero code: `opentelemetry-instrument python app.py` finds this through its entry point and switches costspan on.

Under `OTEL_CONFIG_FILE` the options come from `instrumentation/development: python: costspan: {…}` and have the names of
`costspan.enable()`'s arguments. The user's own TracerProvider is added to; without one, costspan makes one.
"""

from __future__ import annotations

from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined]

from costspan import guard

_OPENTELEMETRYS = {"skip_dep_check", "auto_instrumentation", "auto_instrumentation_version"}
"""What OpenTelemetry's own loader may pass to every instrumentor."""
_OPTIONS = ("instrument", "summary", "record_dir", "metrics", "metrics_port", "prices", "tracer_provider")


class CostspanInstrumentor(BaseInstrumentor):  # type: ignore[misc]
    """OpenTelemetry's interface to `enable()` and `disable()`."""

    def instrumentation_dependencies(self) -> tuple[str, ...]:
        """Nothing: each framework is looked for on its own."""
        return ()

    def _instrument(self, **options: Any) -> None:
        from costspan.enabling import enable

        unknown = sorted(set(options) - set(_OPTIONS) - _OPENTELEMETRYS)
        if unknown:
            guard.warn_once("zero code options", f"options not understood: {', '.join(unknown)}; known: {', '.join(_OPTIONS)}")
        running = enable(**{name: value for name, value in options.items() if name in _OPTIONS})
        if running is not None:
            running.from_outside = True

    def _uninstrument(self, **options: Any) -> None:  # noqa: ARG002 - the interface
        from costspan.enabling import disable

        disable()
