"""The OpenTelemetry GenAI convention, newest and older names -> Reading.

Reads the official `opentelemetry-instrumentation-genai-*` packages, `opentelemetry-instrumentation-openai-v2`, the Anthropic
SDK's own spans, and any emitter that nobody knows but that writes `gen_ai.*`. Readers of dialects that keep to the
convention in most points start from `read_as` and mend the rest. Counts are inclusive, as the convention has it: input
of cache reads and writes, output of reasoning (semantic-conventions-genai, model/gen-ai/registry.yaml).
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from costspan import conventions as c
from costspan.normalise.model_id import canonical_provider
from costspan.normalise.span_attributes import first_count, first_of, first_text, known, outcome, seconds, settled, text
from costspan.readings import Reading
from costspan.records import AGENT, CALL, MISSING, NO_USAGE, RUN, STEP, TOOL, Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from costspan.readings import SpanRecord

    Get = Callable[[str], object]

DIALECT: Final = "genai"
PARTIAL: Final = "partial_usage"
"""Problem: the stream ended before the provider told the final counts."""

KINDS: Final[dict[str, str]] = {
    **dict.fromkeys(c.CALL_OPERATIONS, CALL),
    # Older and unofficial words for a model call.
    **dict.fromkeys(("completion", "completions", "responses", "generate", "inference", "rerank", "image", "audio"), CALL),
    c.INVOKE_AGENT: AGENT,
    c.EXECUTE_TOOL: TOOL,
    c.INVOKE_WORKFLOW: RUN,
    "execute_task": STEP,
}
"""Operation -> kind. Others tell nothing that is billed: `create_agent`, `fetch_response`, `retrieval`, memory …"""

INPUT: Final = (c.INPUT_TOKENS, "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens")
OUTPUT: Final = (c.OUTPUT_TOKENS, "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens")
CACHE_READ: Final = (
    c.CACHE_READ_TOKENS,
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.details.cache_read_tokens",
    "gen_ai.usage.input_tokens.cached",
)
CACHE_WRITE: Final = (
    c.CACHE_WRITE_TOKENS,
    "gen_ai.usage.cache_creation.input_tokens",
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.cache_write_input_tokens",
    "gen_ai.usage.details.cache_write_tokens",
    "gen_ai.usage.input_tokens.cache_write",
)
CACHE_WRITE_1H: Final = (c.CACHE_WRITE_1H_TOKENS, "gen_ai.usage.details.ephemeral_1h_input_tokens")
REASONING: Final = (
    c.REASONING_TOKENS,
    "gen_ai.usage.reasoning_tokens",
    "gen_ai.usage.details.reasoning_tokens",
    "gen_ai.usage.details.thinking_tokens",
    "gen_ai.usage.output_tokens.reasoning",
)
_PROVIDER: Final = (c.PROVIDER_NAME, "gen_ai.system")
_CONVERSATION: Final = (c.CONVERSATION_ID, "session.id")
_TIER: Final = (
    c.OPENAI_SERVICE_TIER,
    c.ANTHROPIC_SERVICE_TIER,
    "gen_ai.openai.response.service_tier",
    "gen_ai.response.service_tier",
)
_FINISH: Final = (c.FINISH_REASONS, "anthropic.message.stop_reason", "gen_ai.response.finish_reason")
_STREAM: Final = (c.REQUEST_STREAM, "gen_ai.is_streaming", "llm.is_streaming")
_FIRST_CHUNK: Final = (c.TIME_TO_FIRST_CHUNK, "gen_ai.client.operation.time_to_first_chunk")
_RESENT: Final = "http.request.resend_count"
_NESTED: Final = "gen_ai.workflow.nested"


def read(record: SpanRecord) -> Reading | None:
    """The meaning of a span that keeps to the convention; None for one that tells nothing of the kind."""
    return read_as(record, DIALECT)


def read_official(record: SpanRecord) -> Reading | None:
    """Spans of the official `opentelemetry-instrumentation-genai-*` packages, which always write a finish reason."""
    reading = read_as(record, DIALECT)
    if reading is not None and reading.kind == CALL and reading.stream:
        without_end(reading)
    return reading


def read_anthropic_sdk(record: SpanRecord) -> Reading | None:
    """Spans that Anthropic's SDK writes itself (scope `com.anthropic.sdk.*`), on as soon as there is a tracer provider."""
    reading = read_as(record, "anthropic_sdk")
    if reading is not None and reading.kind == CALL and reading.stream:
        without_end(reading)
    return reading


def read_as(record: SpanRecord, dialect: str, kind: str | None = None) -> Reading | None:
    """Read by the convention on behalf of a dialect; `kind` overrules `gen_ai.operation.name`."""
    get = record.attributes.get
    if kind is None:
        kind = kind_of(get)
        if kind is None:
            return None
    if kind == CALL:
        return _call(record, get, dialect)
    if kind == RUN and get(_NESTED) is True:
        return None
    return _part(record, get, dialect, kind)


def kind_of(get: Get) -> str | None:
    """What a span is by its operation, or, where that was left out, by what it carries."""
    operation = get(c.OPERATION_NAME)
    if type(operation) is str:
        return KINDS.get(operation)
    if first_count(get, INPUT) is not None or first_count(get, OUTPUT) is not None:
        return CALL
    if get(c.TOOL_NAME) is not None:
        return TOOL
    if get(c.REQUEST_MODEL) is not None and get(c.AGENT_NAME) is None:
        return CALL
    return None


def _call(record: SpanRecord, get: Get, dialect: str) -> Reading:
    problems: list[str] = []
    operation = text(get(c.OPERATION_NAME))
    ended, error_type = outcome(record)
    return Reading(
        kind=CALL,
        dialect=dialect,
        agent=text(get(c.AGENT_NAME)),
        workflow=text(get(c.WORKFLOW_NAME)),
        conversation_id=first_text(get, _CONVERSATION),
        operation=operation,
        provider=canonical_provider(first_text(get, _PROVIDER)),
        request_model=text(get(c.REQUEST_MODEL)),
        response_model=text(get(c.RESPONSE_MODEL)),
        response_id=text(get(c.RESPONSE_ID)),
        usage=settled(usage_of(get, operation), problems),
        stated_cost_usd=stated_cost(get),
        outcome=ended,
        error_type=error_type,
        finish_reason=_finish(get),
        stream=any(get(key) is True for key in _STREAM),
        time_to_first_token_seconds=seconds(get(_FIRST_CHUNK[0])) or seconds(get(_FIRST_CHUNK[1])),
        service_tier=first_text(get, _TIER),
        retry_count=first_count(get, (_RESENT,)) or 0,
        problems=tuple(problems),
    )


def _finish(get: Get) -> str | None:
    for key in _FINISH:
        value = get(key)
        if value is not None:
            return first_of(value)
    return None


def _part(record: SpanRecord, get: Get, dialect: str, kind: str) -> Reading:
    ended, error_type = outcome(record)
    reading = Reading(
        kind=kind,
        dialect=dialect,
        name=_name(record, get, kind),
        agent=None if kind == AGENT else text(get(c.AGENT_NAME)),
        workflow=None if kind == RUN else text(get(c.WORKFLOW_NAME)),
        conversation_id=first_text(get, _CONVERSATION),
        operation=text(get(c.OPERATION_NAME)),
        outcome=ended,
        error_type=error_type,
        tool_call_id=text(get(c.TOOL_CALL_ID)),
    )
    if kind in (AGENT, RUN):
        with_sums(reading, get, usage_of(get, None))
    return reading


def with_sums(reading: Reading, get: Get, usage: Usage) -> None:
    """Note the sums that a parent repeats; they count only where no model call lies beneath it."""
    problems: list[str] = []
    usage = settled(usage, problems)
    if usage.source == MISSING:
        return
    reading.usage = usage
    reading.repeats_children = True
    reading.provider = canonical_provider(first_text(get, _PROVIDER))
    reading.request_model = text(get(c.REQUEST_MODEL))
    reading.response_model = text(get(c.RESPONSE_MODEL))
    reading.problems = tuple(problems)


_NAMES: Final = {AGENT: c.AGENT_NAME, TOOL: c.TOOL_NAME, RUN: c.WORKFLOW_NAME, STEP: "gen_ai.task.name"}


def _name(record: SpanRecord, get: Get, kind: str) -> str | None:
    """The attribute, else what follows the operation in the span's name (`invoke_agent Dev`), unless that is the model."""
    named = text(get(_NAMES[kind]))
    if named is not None:
        return named
    operation, _, rest = record.name.partition(" ")
    if operation not in KINDS:
        return record.name or None
    return rest if rest and rest != get(c.REQUEST_MODEL) else None


def usage_of(get: Get, operation: str | None) -> Usage:
    """Counts by the convention, all aliases; not settled yet."""
    given = first_count(get, INPUT)
    made = first_count(get, OUTPUT)
    if given is None and made is None:
        return NO_USAGE
    if made is None and operation == c.EMBEDDINGS:
        # An embedding has no output tokens, and its emitters leave the attribute out.
        made = 0
    return Usage(
        given,
        made,
        first_count(get, CACHE_READ),
        first_count(get, CACHE_WRITE),
        first_count(get, CACHE_WRITE_1H),
        first_count(get, REASONING),
        first_count(get, (c.AUDIO_INPUT_TOKENS,)),
        first_count(get, (c.AUDIO_OUTPUT_TOKENS,)),
    )


def stated_cost(get: Get) -> Decimal | None:
    """Dollars that the provider itself stated. What an emitter worked out from its own table is not taken over."""
    if get("gen_ai.usage.cost.source") != "provider" or get("gen_ai.usage.cost.currency") not in ("USD", None):
        return None
    value = get("gen_ai.usage.cost.amount")
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and amount >= 0 else None


def without_end(reading: Reading) -> None:
    """Take back the output count of an Anthropic stream that never ended.

    Anthropic tells the input and a placeholder output (1 or 2 tokens) in its first event and the real output together with
    the stop reason in its last. No stop reason: the placeholder is no measurement. Only for emitters that write one.
    """
    if reading.provider != "anthropic" or reading.finish_reason is not None or reading.outcome == "error":
        return
    usage = reading.usage
    if usage.input_tokens is None:
        return
    usage = replace(usage, output_tokens=None, reasoning_tokens=None)
    reading.usage = replace(usage, source=known(usage))
    reading.missing_reason = "aborted"
    reading.problems = (*reading.problems, PARTIAL)
