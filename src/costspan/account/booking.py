"""A reading of a model call, its owner and a price book -> a Call: the one place where a call gets its price."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan import guard
from costspan.conventions import NOT_SENT
from costspan.records import MISSING, Call, Cost, Owner, Unpriced, span_hex, trace_hex

if TYPE_CHECKING:
    from costspan.price.book import PriceBook
    from costspan.readings import Reading, SpanRecord


_REFUSALS: Final = frozenset(
    {
        "APIStatusError",
        "AuthenticationError",
        "BadRequestError",
        "ClientError",
        "ConflictError",
        "ConnectError",
        "ConnectTimeout",
        "InternalServerError",
        "ModelNotReadyException",
        "NotFoundError",
        "OverloadedError",
        "ModelThrottledException",
        "PermissionDeniedError",
        "PoolTimeout",
        "ProxyError",
        "RateLimitError",
        "RequestTooLargeError",
        "ResourceExhausted",
        "ServerError",
        "ServiceUnavailableError",
        "ThrottlingException",
        "TooManyRequests",
        "UnprocessableEntityError",
        "ValidationException",
        "authentication_error",
        "invalid_request_error",
        "not_found_error",
        "overloaded_error",
        "permission_error",
        "rate_limit_error",
    }
)
"""Last part of `error.type` of the errors that provider SDKs raise for an HTTP status, before any answer is generated.
Time-outs and broken connections are not among them: the provider may have answered and billed. Those before the first byte
is sent (`ConnectError` and the like) are: nothing has reached the provider."""


_UNTRUSTED: Final = Unpriced("invalid_usage", "the parts of the usage do not fit its whole")


def _is_untrusted(reading: Reading) -> bool:
    """True where a part was larger than its whole: the counts are kept, but a price of them would be made up."""
    return "inconsistent_usage" in reading.problems and reading.stated_cost_usd is None


def is_refusal(reading: Reading) -> bool:
    """True when a call failed because the provider turned it down, or before it was sent: nobody bills that."""
    if reading.missing_reason == NOT_SENT:
        return True
    if reading.outcome != "error" or reading.missing_reason is not None:
        return False
    if reading.refused or reading.error_type is None:
        return reading.refused
    name = reading.error_type.rpartition(".")[2]
    # LangChain wraps provider errors in classes of its own such as OpenAIRateLimitError.
    return name in _REFUSALS or name.isdigit() or any(name.endswith(known) for known in _REFUSALS)


_Priced = tuple[str | None, str | None, int | None, "Cost | Unpriced | None"]


@guard.guarded("price")
def _priced(record: SpanRecord, reading: Reading, book: PriceBook) -> _Priced:
    """(provider, model, context window, answer of the price book)."""
    asked = reading.request_model
    named = reading.response_model or asked
    provider, model = book.canonical(reading.provider, named, asked)
    window = book.context_window(reading.provider, named, asked)
    if reading.cache_hit or (reading.usage.source == MISSING and reading.stated_cost_usd is None):
        return provider, model, window, None
    if reading.problems and _is_untrusted(reading):
        return provider, model, window, _UNTRUSTED
    return (
        provider,
        model,
        window,
        book.price(
            reading.usage,
            provider=reading.provider,
            model=named,
            requested=asked,
            at_ns=record.start_ns,
            service_tier=reading.service_tier,
            batch=reading.batch,
            fees=reading.fees,
            stated_cost_usd=reading.stated_cost_usd,
        ),
    )


def make_call(record: SpanRecord, reading: Reading, owner: Owner, book: PriceBook) -> Call:
    """Price one reading. A call without usage has neither a cost nor a reason to be unpriced: it is unreported."""
    usage = reading.usage
    # Tokens and money fail independently: whatever is wrong with prices, the call and its tokens are counted.
    provider, model, window, answer = _priced(record, reading, book) or (
        reading.provider, reading.response_model or reading.request_model, None, None,
    )  # fmt: skip
    missing = usage.source == MISSING and not reading.cache_hit
    refused = missing and is_refusal(reading)
    # By place, in the order of `Call`: forty names would take three times as long to match as the rest of the call takes.
    return Call(
        span_hex(record.span_id),
        trace_hex(record.trace_id),
        provider,
        model,
        usage,
        owner,
        answer if isinstance(answer, Cost) else None,
        answer if isinstance(answer, Unpriced) else None,
        span_hex(record.parent_id) if record.parent_id else None,
        reading.operation or "chat",
        reading.request_model,
        reading.response_model,
        reading.response_id,
        record.start_ns,
        record.end_ns,
        reading.time_to_first_token_seconds,
        reading.finish_reason,
        reading.outcome,
        reading.error_type,
        reading.stream,
        reading.service_tier,
        reading.batch,
        reading.fees,
        _missing_reason(reading) if missing and not (refused and reading.missing_reason is None) else None,
        refused,
        reading.cache_hit,
        reading.retry_count,
        reading.waste,
        reading.metered,
        window,
        reading.conversation_id,
        reading.request_lengths,
        reading.request_hash,
        record.scope,
        reading.dialect,
        reading.estimator,
        reading.problems,
    )


def _missing_reason(reading: Reading) -> str:
    """Why nobody told what a call cost, from what its span shows."""
    if reading.missing_reason:
        return reading.missing_reason
    if reading.outcome == "cancelled":
        return "aborted"
    if reading.outcome == "error":
        return "error"
    told = any(problem.startswith("invalid_") for problem in reading.problems)  # a usage came, and made no sense
    return "stream_without_usage" if reading.stream and not told else "unknown"
