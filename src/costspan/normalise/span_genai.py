"""The OpenTelemetry GenAI convention, newest and older names -> Reading.

Reads the official `opentelemetry-instrumentation-genai-*` packages, `opentelemetry-instrumentation-openai-v2`, the Anthropic
SDK's own spans, and any emitter that nobody knows but that writes `gen_ai.*`. Readers of dialects that keep to the
convention in most points start from `read_as` and mend the rest. Counts are inclusive, as the convention has it: input
of cache reads and writes, output of reasoning (semantic-conventions-genai, model/gen-ai/registry.yaml).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from costspan import conventions as c
from costspan.normalise.genai_names import INPUT, OUTPUT, PROVIDER, told_by
from costspan.normalise.model_id import canonical_provider
from costspan.normalise.span_attributes import dollars, first_count, first_of, first_text, known, outcome, seconds, settled, text
from costspan.readings import Reading
from costspan.records import AGENT, CALL, MISSING, NO_USAGE, RUN, STEP, TOOL, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from decimal import Decimal

    from costspan.normalise.genai_names import Told
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
    operation = text(get(c.OPERATION_NAME))
    told = told_by(record.attributes)
    provider = first_text(get, told.provider)
    # By position, and nothing that is rare: this runs for every call.
    reading = Reading(
        CALL,
        dialect,
        None,
        text(get(c.AGENT_NAME)),
        text(get(c.WORKFLOW_NAME)),
        None,
        None,
        first_text(get, told.conversation) if told.conversation else None,
        operation,
        canonical_provider(provider) if provider is not None else None,
        text(get(c.REQUEST_MODEL)),
        text(get(c.RESPONSE_MODEL)),
        text(get(c.RESPONSE_ID)),
    )
    if told.input or told.output:
        problems: list[str] = []
        reading.usage = settled(_usage(get, told, operation), problems)
        if problems:
            reading.problems = tuple(problems)
    if told.finish:
        reading.finish_reason = first_of(next((value for key in told.finish if (value := get(key)) is not None), None))
    if record.error or c.ERROR_TYPE in record.attributes:
        reading.outcome, reading.error_type = outcome(record)
    _rarer(reading, get, told)
    return reading


def _rarer(reading: Reading, get: Get, told: Told) -> None:
    """What most calls do not have."""
    if told.stream:
        reading.stream = any(get(key) is True for key in told.stream)
    if told.first_chunk:
        reading.time_to_first_token_seconds = next(filter(None, (seconds(get(key)) for key in told.first_chunk)), None)
    if told.tier:
        reading.service_tier = first_text(get, told.tier)
    if told.resent:
        reading.retry_count = first_count(get, told.resent) or 0
    if told.stated_cost:
        reading.stated_cost_usd = stated_cost(get)


def _part(record: SpanRecord, get: Get, dialect: str, kind: str) -> Reading:
    told = told_by(record.attributes)
    reading = Reading(
        kind,
        dialect,
        _name(record, get, kind),
        None if kind == AGENT else text(get(c.AGENT_NAME)),
        None if kind == RUN else text(get(c.WORKFLOW_NAME)),
        None,
        None,
        first_text(get, told.conversation) if told.conversation else None,
        text(get(c.OPERATION_NAME)),
    )
    reading.tool_call_id = text(get(c.TOOL_CALL_ID))
    if record.error or c.ERROR_TYPE in record.attributes:
        reading.outcome, reading.error_type = outcome(record)
    if (told.input or told.output) and kind in (AGENT, RUN):
        with_sums(reading, get, _usage(get, told, None))
    return reading


def with_sums(reading: Reading, get: Get, usage: Usage) -> None:
    """Note the sums that a parent repeats; they count only where no model call lies beneath it."""
    problems: list[str] = []
    usage = settled(usage, problems)
    if usage.source == MISSING:
        return
    reading.usage = usage
    reading.repeats_children = True
    reading.provider = canonical_provider(first_text(get, PROVIDER))
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


def usage_of(attributes: Mapping[str, object], operation: str | None) -> Usage:
    """Counts by the convention, all aliases; not settled yet."""
    return _usage(attributes.get, told_by(attributes), operation)


def _usage(get: Get, told: Told, operation: str | None) -> Usage:
    given = first_count(get, told.input)
    made = first_count(get, told.output)
    if given is None and made is None:
        return NO_USAGE
    if made is None and operation == c.EMBEDDINGS:
        # An embedding has no output tokens, and its emitters leave the attribute out.
        made = 0
    return Usage(
        given,
        made,
        first_count(get, told.cache_read) if told.cache_read else None,
        first_count(get, told.cache_write) if told.cache_write else None,
        first_count(get, told.cache_write_1h) if told.cache_write_1h else None,
        first_count(get, told.reasoning) if told.reasoning else None,
        first_count(get, told.input_audio) if told.input_audio else None,
        first_count(get, told.output_audio) if told.output_audio else None,
    )


def stated_cost(get: Get) -> Decimal | None:
    """Dollars that the provider itself stated. What an emitter worked out from its own table is not taken over."""
    if get("gen_ai.usage.cost.source") != "provider" or get("gen_ai.usage.cost.currency") not in ("USD", None):
        return None
    return dollars(get("gen_ai.usage.cost.amount"))


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
