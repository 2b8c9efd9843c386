"""What LangChain tells at a call's end, as span attributes: usage, model, evidence. Lengths are taken, content never."""

from __future__ import annotations

from json.encoder import encode_basestring_ascii as _quoted
from typing import TYPE_CHECKING, Any, Final

from costspan import conventions as c
from costspan.instrument.answer import REFUSAL_STATUS, told
from costspan.instrument.spans import is_cancel
from costspan.instrument.unsent import never_left
from costspan.normalise import usage_langchain
from costspan.normalise.usage import extract
from costspan.records import MISSING, NO_USAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from costspan.normalise.extracted import Extracted

MESSAGES_MAX: Final = 1000
"""Messages of a conversation whose lengths are noted; a longer one has no tool bill."""
_EMPTY: Final = '""'


def attributes(result: Any) -> dict[str, Any]:
    """Attributes of a call that ended well. `result` is an LLMResult; the first answer that tells its usage counts."""
    generations = getattr(result, "generations", None)
    first = generations[0][0] if generations and generations[0] else None
    message = getattr(first, "message", None)
    found = usage_langchain.from_message(message) if message is not None else usage_langchain.from_result(result)
    if found.usage.source == MISSING and message is not None:
        found = usage_langchain.from_result(result)
    answer = told(found)
    if found.usage.source == MISSING and found.cache_hit is False and _is_empty(found):
        answer.pop(c.USAGE_SOURCE, None)
    if c.FINISH_REASONS not in answer:
        info = getattr(first, "generation_info", None)
        reason = info.get("finish_reason") if isinstance(info, dict) else None
        if isinstance(reason, str):
            answer[c.FINISH_REASONS] = (reason,)
    return answer


def _is_empty(found: Extracted) -> bool:
    return found.usage is NO_USAGE


def after_error(result: Any, error: BaseException, *, streamed: bool) -> dict[str, Any]:
    """Attributes of a call that failed, was cancelled or abandoned: whatever the provider told until then.

    A structured answer that could not be parsed was billed: LangChain keeps the response's body beside the error.
    """
    for prompt in getattr(result, "generations", None) or ():
        for generation in prompt:
            message = getattr(generation, "message", None)
            found = usage_langchain.from_message(message)
            if found.usage.total_tokens is not None:
                return told(found) | _why(error, known=found.usage.source != MISSING, streamed=streamed)
            metadata = getattr(message, "response_metadata", None)
            body = metadata.get("body") if isinstance(metadata, dict) else None
            if isinstance(body, dict) and metadata is not None and not _is_refusal(metadata.get("status_code")):
                found = extract(body)
                if found.usage.source != MISSING:
                    return told(found) | {c.WASTE: "failed_parse"}
    completion = getattr(error, "completion", None)
    if completion is not None:  # openai.LengthFinishReasonError
        found = extract(completion)
        if found.usage.source != MISSING:
            return told(found) | {c.WASTE: "truncated"}
    return _why(error, known=False, streamed=streamed)


def _why(error: BaseException, *, known: bool, streamed: bool) -> dict[str, Any]:
    if not known and not streamed and never_left(error):
        return {c.MISSING_REASON: c.NOT_SENT}
    if is_cancel(error):
        return {c.WASTE: "aborted"} if known else {c.WASTE: "aborted", c.MISSING_REASON: "aborted"}
    if known:
        return {c.WASTE: "error"}
    if streamed:
        return {c.MISSING_REASON: "error"}
    status = status_of(error)
    return {c.HTTP_STATUS_CODE: status} if status is not None else {}


def status_of(error: BaseException) -> int | None:
    """The HTTP status by which a provider turned a request down, from the error or what caused it."""
    at: BaseException | None = error
    for _ in range(4):
        if at is None:
            return None
        for holder in (at, getattr(at, "response", None)):
            status = getattr(holder, "status_code", None)
            if isinstance(status, int) and _is_refusal(status):
                return int(status)
        at = at.__cause__ or at.__context__
    return None


def _is_refusal(status: object) -> bool:
    return isinstance(status, int) and status >= REFUSAL_STATUS


def lengths(messages: Sequence[Any]) -> str | None:
    """The conversation's shape for the tool bill: role, id, length and tool call id of each message, no content.

    The format is that of `normalise/request_lengths.py`, written out here: this runs before every call.
    """
    if len(messages) > MESSAGES_MAX:
        return None
    return f"[{','.join([_shape(message) for message in messages])}]"


def _shape(message: Any) -> str:
    # Read past pydantic: asking a message for a field that its kind has not costs more than all the rest of this.
    fields = message.__dict__
    content = fields["content"]
    size = len(content) if type(content) is str else _size(content)
    calls = fields.get("tool_calls")
    if calls:
        size += sum(len(str(call.get("args", ""))) for call in calls)
    kind, own, answers = fields["type"], fields.get("id"), fields.get("tool_call_id")
    return f"[{_quoted(kind)},{_quoted(own) if own else _EMPTY},{size},{_quoted(answers) if answers else _EMPTY}]"


def _size(content: Any) -> int:
    if not isinstance(content, list):
        return len(str(content))
    total = 0
    for block in content:
        text = block.get("text") if isinstance(block, dict) else block
        total += len(text) if isinstance(text, str) else len(str(block))
    return total
