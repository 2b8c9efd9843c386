"""MLflow tracing exported over OTLP (`mlflow.spanType`; every value is JSON) -> Reading.

`mlflow.chat.tokenUsage` is inclusive. Written cache tokens of LangChain with Anthropic come out as 0, because MLflow
looks where langchain-anthropic has left 0. There is no reasoning and no response id. `mlflow.llm.cost` is worked out
from a table: not read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan.normalise.model_id import canonical_provider
from costspan.normalise.owner_langchain import owner_from_metadata
from costspan.normalise.span_attributes import count, outcome, parsed, parsed_object, settled, text
from costspan.normalise.span_langchain import CONVERSATION_KEYS, place
from costspan.readings import Reading
from costspan.records import AGENT, CALL, RUN, STEP, TOOL, Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from costspan.readings import SpanRecord

    Get = Callable[[str], object]

DIALECT: Final = "mlflow"
KIND: Final = "mlflow.spanType"
_KINDS: Final = {
    '"LLM"': CALL,
    '"CHAT_MODEL"': CALL,
    '"EMBEDDING"': CALL,
    '"TOOL"': TOOL,
    '"AGENT"': AGENT,
    '"CHAIN"': STEP,
    '"TASK"': STEP,
    '"WORKFLOW"': RUN,
}
LOST_CACHE_WRITE: Final = "cache_write_lost"


def read(record: SpanRecord) -> Reading | None:
    """The meaning of an MLflow span; None for parsers, retrievers and the like."""
    get = record.attributes.get
    kind = _KINDS.get(str(get(KIND)))
    if kind is None:
        return None
    metadata = parsed_object(get("metadata"))
    if kind == CALL:
        return _call(record, get, metadata)
    if kind in (STEP, AGENT):
        found = place(record.name, metadata, is_root=not record.parent_id)
        if found is not None:
            return _part(record, found.kind, found.name, found.agent)
        if kind == STEP:
            return None
    return _part(record, kind, record.name, owner_from_metadata(metadata)[0] if kind == TOOL else None)


def _call(record: SpanRecord, get: Get, metadata: Mapping[str, object]) -> Reading:
    problems: list[str] = []
    agent, step = owner_from_metadata(metadata)
    ended, error_type = outcome(record)
    provider = canonical_provider(text(parsed(get("mlflow.llm.provider"))) or text(metadata.get("ls_provider")))
    model = text(parsed(get("mlflow.llm.model")))
    return Reading(
        kind=CALL,
        dialect=DIALECT,
        agent=agent,
        step=step,
        conversation_id=next((found for key in CONVERSATION_KEYS if (found := text(metadata.get(key)))), None),
        operation="embeddings" if get(KIND) == '"EMBEDDING"' else "chat",
        provider=provider,
        request_model=text(metadata.get("ls_model_name")) or model,
        response_model=model,
        usage=settled(_usage(parsed_object(get("mlflow.chat.tokenUsage")), provider, problems), problems),
        outcome=ended,
        error_type=error_type,
        problems=tuple(problems),
    )


def _usage(told: dict[str, object], provider: str | None, problems: list[str]) -> Usage:
    written = count(told.get("cache_creation_input_tokens"))
    if written == 0 and provider == "anthropic":
        written = None
        problems.append(LOST_CACHE_WRITE)
    return Usage(
        count(told.get("input_tokens")),
        count(told.get("output_tokens")),
        count(told.get("cache_read_input_tokens")),
        written,
        count(told.get("cache_creation_input_tokens_above_1hr")),
    )


def _part(record: SpanRecord, kind: str, name: str, agent: str | None) -> Reading:
    ended, error_type = outcome(record)
    return Reading(kind=kind, dialect=DIALECT, name=name, agent=agent, outcome=ended, error_type=error_type)
