"""Google ADK: its own OpenTelemetry output, which goes to the global tracer provider, or nowhere when there is none.

ADK writes a span per invocation, agent, tool and model call, with the agent's name and the tokens; they are read like those of
any other instrumentation (`normalise/span_google_adk.py`), and priced. A hook of a provider's client beneath (LiteLLM's
OpenAI client) tells the same calls, and both are folded into one.

What is left to do here: give ADK's tracer a provider where the program has set up none, and keep prompts out of spans that
only exist because of costspan. A program that has a tracer provider of its own has ADK's spans already, as it wants them.
"""

from __future__ import annotations

import os
from typing import Any, Final

from opentelemetry import trace

from costspan.instrument.patch import Patches, Point
from costspan.instrument.spans import SWITCH

SCOPE: Final = "gcp.vertex.agent"
_TRACER: Final = ("google.adk.telemetry.tracing", "tracer")
_CONTENT: Final = "ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS"
"""ADK's switch for prompts in its older spans; on unless it says otherwise."""
_OPT_IN: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"


class GoogleADK:
    """The adapter: sends ADK's spans to costspan's provider if they would go nowhere else."""

    def __init__(self) -> None:
        self._patches = Patches()
        self._quieted = False

    def switch_on(self) -> None:
        homeless = not hasattr(trace.get_tracer_provider(), "add_span_processor")
        if homeless:
            module, tracer = _TRACER
            methods = ("start_span", "start_as_current_span")
            self._patches.apply(Point(module, f"{tracer}.{method}", _bound(method)) for method in methods)
        if (homeless or SWITCH.provider_is_ours) and _CONTENT not in os.environ and not os.environ.get(_OPT_IN):
            os.environ[_CONTENT] = "false"
            self._quieted = True

    def switch_off(self) -> None:
        self._patches.undo()
        if self._quieted and os.environ.get(_CONTENT) == "false":
            del os.environ[_CONTENT]
        self._quieted = False


def _bound(method: str) -> Any:
    def wrap(original: Any) -> Any:
        provider = SWITCH.provider
        return original if provider is None else getattr(provider.get_tracer(SCOPE), method)

    return wrap


def adapter() -> GoogleADK:
    """What the registry asks every framework file for."""
    return GoogleADK()
