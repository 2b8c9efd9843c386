"""What a provider told, as attributes of a call's span; and what a layer beneath adds to the call of a layer above.

A framework's call that is open while an SDK's request runs inside it stays the only span of that call. The SDK leaves what
it knows on the unit (`Unit.told`), and the framework's file asks for it at the end: `with_deposits`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from costspan import conventions as c
from costspan.instrument.spans import is_cancel
from costspan.normalise.extracted import NO_USAGE_FOUND
from costspan.normalise.model_id import is_known_provider
from costspan.normalise.span_costspan import usage_attributes
from costspan.records import MISSING, NO_USAGE

if TYPE_CHECKING:
    from costspan.instrument.spans import Deposit, Unit
    from costspan.normalise.extracted import Extracted

REFUSAL_STATUS: Final = 400
"""The first HTTP status by which a provider turns a request down."""
_SUMMED: Final = (
    c.INPUT_TOKENS,
    c.OUTPUT_TOKENS,
    c.CACHE_READ_TOKENS,
    c.CACHE_WRITE_TOKENS,
    c.CACHE_WRITE_1H_TOKENS,
    c.REASONING_TOKENS,
    c.AUDIO_INPUT_TOKENS,
    c.AUDIO_OUTPUT_TOKENS,
)
_PROTOCOLS: Final = frozenset({"openai", "anthropic"})
"""What a client is called whose address nobody knows: many answer in these languages."""
_FILLED: Final = (
    c.RESPONSE_MODEL,
    c.RESPONSE_ID,
    c.FINISH_REASONS,
    c.OPENAI_SERVICE_TIER,
    c.ANTHROPIC_SERVICE_TIER,
    c.HTTP_STATUS_CODE,
    c.ESTIMATOR,
)
"""What a deposit may add where the layer above does not know it. Never usage, which is added up or left alone."""


def told(found: Extracted) -> dict[str, Any]:
    """An `Extracted` as span attributes; what is unknown is left out."""
    answer: dict[str, Any] = dict(usage_attributes(found.usage))
    if found.model:
        answer[c.RESPONSE_MODEL] = found.model
    if found.response_id:
        answer[c.RESPONSE_ID] = found.response_id
    if found.finish_reason:
        answer[c.FINISH_REASONS] = (found.finish_reason,)
    if found.service_tier:
        name = c.ANTHROPIC_SERVICE_TIER if found.provider == "anthropic" else c.OPENAI_SERVICE_TIER
        answer[name] = found.service_tier
    if found.stated_cost_usd is not None:
        answer[c.STATED_COST] = str(found.stated_cost_usd)
    if found.fees:
        answer[c.FEES] = json.dumps(dict(found.fees))
    if found.cache_hit:
        answer[c.CACHE_HIT] = True
    if found.problems and found.problems != (NO_USAGE_FOUND,) and found.usage is not NO_USAGE:
        answer[c.USAGE_PROBLEMS] = found.problems
    return answer


def why_unhappy(error: BaseException, *, known: bool, began: bool, ended: bool) -> dict[str, Any]:
    """The reason attributes of a call that failed or was left.

    `known`: its usage is. `began`: the provider had answered with success; `ended`: with all of its answer.
    """
    if is_cancel(error):
        return {c.WASTE: "aborted"} if known else {c.WASTE: "aborted", c.MISSING_REASON: "aborted"}
    if known:
        cut_short = type(error).__name__ == "LengthFinishReasonError"
        return {c.WASTE: "truncated" if cut_short else "failed_parse" if ended else "error"}
    status = getattr(error, "status_code", None)
    if not began and isinstance(status, int) and status >= REFUSAL_STATUS:
        return {c.HTTP_STATUS_CODE: status}
    return {c.MISSING_REASON: "error"} if began else {}


def with_deposits(unit: Unit, attributes: dict[str, Any]) -> dict[str, Any]:
    """A framework's final attributes of a call, completed by what the SDK's requests inside it were told.

    Where there was one request and it told everything, its usage is the provider's own word and wins: old LangChain counts an
    Anthropic stream's input twice. Otherwise the framework's own usage wins, and where it has none, that of the requests is
    added up: LangChain drops the counts that Anthropic tells at the start of a stream that is then abandoned.
    """
    deposits = unit.take()
    if not deposits or attributes.get(c.CACHE_HIT):
        return attributes
    retries = sum(deposit.retries for deposit in deposits)
    if retries:
        attributes[c.RETRY_COUNT] = retries
    found = [_collected(deposit) for deposit in deposits]
    if len(found) == 1 and found[0].get(c.USAGE_SOURCE, MISSING) != MISSING:
        _take_usage(attributes, found[0])
    elif attributes.get(c.USAGE_SOURCE, MISSING) == MISSING:
        _add_usage(attributes, found)
    for name in _FILLED:
        for deposit in found:
            if name in deposit:
                attributes.setdefault(name, deposit[name])
    if attributes.get(c.USAGE_SOURCE, MISSING) == MISSING:
        _note_unsent(attributes, deposits)
    _note_asked(unit, attributes, deposits[0])
    return attributes


def _note_asked(unit: Unit, attributes: dict[str, Any], deposit: Deposit) -> None:
    """Whom the client asked, and for which model, where the framework did not know or knows only whose protocol it is."""
    stated = unit.attributes.get(c.PROVIDER_NAME)
    if deposit.provider != stated and (deposit.provider not in _PROTOCOLS or not is_known_provider(stated)):
        attributes[c.PROVIDER_NAME] = deposit.provider
    if deposit.model and c.REQUEST_MODEL not in unit.attributes:
        attributes[c.REQUEST_MODEL] = deposit.model


def _collected(deposit: Deposit) -> dict[str, Any]:
    """What a request was told, its usage only if the request does not count that itself."""
    deposit.apart = True
    found = deposit.attributes()
    if any(name in found for name in _SUMMED) and not deposit.claim():
        return {}
    return found


def _note_unsent(attributes: dict[str, Any], deposits: list[Deposit]) -> None:
    """The requests know better than the error that came of them whether anything was sent."""
    if all(deposit.unsent for deposit in deposits):
        attributes[c.MISSING_REASON] = c.NOT_SENT
        attributes.pop(c.WASTE, None)
    elif attributes.get(c.MISSING_REASON) == c.NOT_SENT and c.HTTP_STATUS_CODE not in attributes:
        attributes[c.MISSING_REASON] = "error"


def _take_usage(attributes: dict[str, Any], deposit: dict[str, Any]) -> None:
    for name in (*_SUMMED, c.USAGE_SOURCE, c.USAGE_PROBLEMS, c.STATED_COST, c.FEES):
        attributes.pop(name, None)
        if name in deposit:
            attributes[name] = deposit[name]
    if c.RESPONSE_MODEL in deposit:  # LangChain names the model that a stream began with, not the one that took over
        attributes[c.RESPONSE_MODEL] = deposit[c.RESPONSE_MODEL]
    attributes.pop(c.MISSING_REASON, None)


def _add_usage(attributes: dict[str, Any], found: list[dict[str, Any]]) -> None:
    telling = [deposit for deposit in found if any(name in deposit for name in _SUMMED)]
    if not telling:
        return
    for name in _SUMMED:
        counts = [deposit[name] for deposit in telling if name in deposit]
        if counts:
            attributes[name] = sum(counts)
        else:
            attributes.pop(name, None)
    complete = all(deposit.get(c.USAGE_SOURCE, MISSING) != MISSING for deposit in found)
    attributes[c.USAGE_SOURCE] = telling[0][c.USAGE_SOURCE] if complete else MISSING
    if complete:
        attributes.pop(c.MISSING_REASON, None)
    for name in (c.STATED_COST, c.FEES):
        if len(telling) == 1 and name in telling[0]:
            attributes.setdefault(name, telling[0][name])
