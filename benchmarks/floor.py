"""The floor: the cheapest hand-written handler that opens the spans that costspan opens, with the same attributes.

It knows nothing: names are taken where they are, prices and totals are constants, nothing is guarded, bounded, folded
or summed up. It records the two histograms of the OpenTelemetry GenAI conventions, as everybody writes them.
tests/benchmarks holds it to the same spans and attributes that costspan writes. The lean one leaves out what only costspan
knows: nine attributes on a call, two on every other span.
"""

from __future__ import annotations

import time
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from opentelemetry import trace
from opentelemetry.trace import SpanKind

_TOTALS = {
    "costspan.self.calls": 1,
    "costspan.self.input_tokens": 1000,
    "costspan.self.output_tokens": 200,
    "costspan.self.cost_usd": 0.00375,
    "costspan.subtree.calls": 1,
    "costspan.subtree.input_tokens": 1000,
    "costspan.subtree.output_tokens": 200,
    "costspan.subtree.cost_usd": 0.00375,
}
_COST = {
    "costspan.usage.source": "reported",
    "gen_ai.usage.cost.amount": 0.00375,
    "gen_ai.usage.cost.currency": "USD",
    "gen_ai.usage.cost.source": "local",
    "costspan.price.source": "table",
    "costspan.price.ref": "openai/gpt-4o@2024-08-06",
    "gen_ai.context.window_size": 128000,
    "gen_ai.context.utilization": 0.009375,
}


class Nothing(BaseCallbackHandler):
    """A callback that does nothing: what LangChain charges for having one."""

    run_inline = True

    def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
        return


_LEAN = frozenset(
    {"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "gen_ai.agent.name", "gen_ai.tool.name"}
)
"""What the lean floor starts a span with, where it is known."""


def _more(usage: Any) -> dict[str, Any]:
    return {
        "gen_ai.usage.cache_write.input_tokens": usage["input_token_details"]["cache_creation"],
        "gen_ai.usage.reasoning.output_tokens": usage["output_token_details"]["reasoning"],
        **_COST,
    }


class Floor(BaseCallbackHandler):
    """One span per run, two histograms per call."""

    run_inline = True

    def __init__(self, tracer_provider: Any, meter_provider: Any, *, lean: bool = False) -> None:
        self.lean = lean
        self.tracer = tracer_provider.get_tracer("floor")
        meter = meter_provider.get_meter("floor")
        self.tokens = meter.create_histogram("gen_ai.client.token.usage", unit="{token}")
        self.duration = meter.create_histogram("gen_ai.client.operation.duration", unit="s")
        self.runs: dict[Any, tuple[Any, int, dict[str, Any]]] = {}

    def _open(self, run_id: Any, parent: Any, title: str, attributes: dict[str, Any], *, call: bool = False) -> None:
        around = self.runs.get(parent)
        started = time.time_ns()
        shown = {name: value for name, value in attributes.items() if name in _LEAN} if self.lean else attributes
        self.runs[run_id] = (
            self.tracer.start_span(
                title,
                context=trace.set_span_in_context(around[0]) if around else None,
                kind=SpanKind.CLIENT if call else SpanKind.INTERNAL,
                attributes=shown,
                start_time=started,
            ),
            started,
            attributes,
        )

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: Any, parent_run_id: Any = None, name: Any = None, **kwargs: Any
    ) -> None:
        if parent_run_id is None:
            start = {
                "costspan.kind": "run",
                "costspan.run.id": run_id.hex,
                "gen_ai.operation.name": "invoke_workflow",
            }
            self._open(run_id, None, "invoke_workflow", start)
        else:
            start = {
                "costspan.kind": "agent",
                "costspan.run.id": parent_run_id.hex,
                "gen_ai.operation.name": "invoke_agent",
                "gen_ai.agent.name": name,
            }
            self._open(run_id, parent_run_id, f"invoke_agent {name}", start)

    def on_tool_start(self, serialized: Any, input_str: str, *, run_id: Any, parent_run_id: Any = None, **kwargs: Any) -> None:
        around = self.runs[parent_run_id][2]
        name = serialized["name"]
        start = {
            "costspan.kind": "tool",
            "costspan.run.id": around["costspan.run.id"],
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.type": "function",
            "gen_ai.tool.name": name,
            "gen_ai.workflow.name": around["gen_ai.agent.name"],
            "gen_ai.agent.name": around["gen_ai.agent.name"],
        }
        self._open(run_id, parent_run_id, f"execute_tool {name}", start)

    def _end(self, output: Any, *, run_id: Any, **kwargs: Any) -> None:
        span = self.runs.pop(run_id)[0]
        if not self.lean:
            span.set_attributes(_TOTALS)
        span.end()

    on_chain_end = on_tool_end = _end

    def on_llm_error(self, error: BaseException, *, run_id: Any, **kwargs: Any) -> None:
        self.runs.pop(run_id)[0].end()

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: Any, parent_run_id: Any = None, metadata: Any = None, **kwargs: Any
    ) -> None:
        model = metadata["ls_model_name"]
        start = {
            "costspan.kind": "call",
            "costspan.run.id": run_id.hex,
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": metadata["ls_provider"],
            "gen_ai.request.model": model,
            "costspan.request.lengths": '[["human","",1,""]]',
            "costspan.request.hash": "0123456789abcdef",
        }
        around = self.runs.get(parent_run_id)
        if around:
            start["costspan.run.id"] = around[2]["costspan.run.id"]
            start["gen_ai.workflow.name"] = start["gen_ai.agent.name"] = around[2]["gen_ai.agent.name"]
        self._open(run_id, parent_run_id, f"chat {model}", start, call=True)

    def on_llm_end(self, response: Any, *, run_id: Any, **kwargs: Any) -> None:
        span, started, start = self.runs.pop(run_id)
        message = response.generations[0][0].message
        usage, told = message.usage_metadata, message.response_metadata
        taken, given = usage["input_tokens"], usage["output_tokens"]
        answered = told["model_name"]
        span.set_attributes(
            {
                "gen_ai.response.model": answered,
                "gen_ai.response.id": told["id"],
                "gen_ai.response.finish_reasons": (told["finish_reason"],),
                "gen_ai.usage.input_tokens": taken,
                "gen_ai.usage.output_tokens": given,
                "gen_ai.usage.cache_read.input_tokens": usage["input_token_details"]["cache_read"],
                **({} if self.lean else _more(usage)),
            }
        )
        labels = {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": start["gen_ai.provider.name"],
            "gen_ai.request.model": start["gen_ai.request.model"],
            "gen_ai.response.model": answered,
        }
        self.tokens.record(taken, {**labels, "gen_ai.token.type": "input"})
        self.tokens.record(given, {**labels, "gen_ai.token.type": "output"})
        ended = time.time_ns()
        self.duration.record((ended - started) / 1e9, labels)
        span.end(ended)
