"""Owners beyond this thread: carried to another process by OpenTelemetry's own means, and taken up there.

Within a process the owner travels in the OpenTelemetry Context. To another process travel `traceparent` (so that the spans of
both are one tree wherever they meet) and, beside it, `costspan-owner`: workflow, agent, step and tool, so that the other
process can label its own metrics. They go where the program puts them: into a message of a queue, the arguments of a
process, or its environment. Nothing is added to HTTP requests, unless `OTEL_PROPAGATORS` names `costspan`: an agent's name
is nobody's business at a model provider, which is why W3C baggage, which instrumented clients send everywhere, is not used.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.propagators.textmap import TextMapPropagator, default_getter, default_setter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from costspan import guard
from costspan.instrument.spans import UNIT, Unit
from costspan.records import NOBODY, REMOTE, Owner

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, MutableMapping

    from opentelemetry.context import Context
    from opentelemetry.propagators.textmap import CarrierT, Getter, Setter

HEADER: Final = "costspan-owner"
NAME_MAX: Final = 200
"""Characters of a name that travel."""
_VARIABLES: Final = {"TRACEPARENT": "traceparent", "TRACESTATE": "tracestate", "COSTSPAN_OWNER": HEADER}
"""Environment variable -> key of a carrier, as OpenTelemetry's "Environment Variables as Context Propagation Carriers" has it."""
_TRACE: Final = TraceContextTextMapPropagator()


class OwnerPropagator(TextMapPropagator):
    """Carries the owner in `costspan-owner`; `costspan` in `OTEL_PROPAGATORS`, after `tracecontext`."""

    def inject(self, carrier: CarrierT, context: Context | None = None, setter: Setter[CarrierT] = default_setter) -> None:
        """Put the owner of what runs in `context` into a carrier; nothing where there is none."""
        with guard.Guard("owners.inject"):
            unit = (otel_context.get_current() if context is None else context).get(UNIT)
            if isinstance(unit, Unit) and unit.acting != NOBODY:
                setter.set(carrier, HEADER, encode(unit.acting))

    def extract(self, carrier: CarrierT, context: Context | None = None, getter: Getter[CarrierT] = default_getter) -> Context:
        """The context in which new units, and calls, belong to the owner that a carrier names."""
        base = otel_context.get_current() if context is None else context
        with guard.Guard("owners.extract"):
            found = getter.get(carrier, HEADER)
            owner = decode(found[0]) if found else NOBODY
            if owner != NOBODY:
                return _within(owner, base)
        return base

    @property
    def fields(self) -> set[str]:
        """The keys that are set."""
        return {HEADER}


def _within(owner: Owner, base: Context) -> Context:
    unit = Unit(REMOTE, None, None, {})
    unit.owner = owner
    unit.span = trace.get_current_span(base)
    unit.inside = otel_context.set_value(UNIT, unit, base)
    return unit.context


def encode(owner: Owner) -> str:
    """`workflow=nightly,agent=the%20writer`: names that are known, percent-encoded."""
    named = zip(Owner._fields, owner, strict=True)
    return ",".join(f"{key}={quote(value[:NAME_MAX], safe='')}" for key, value in named if value)


def decode(text: object) -> Owner:
    """The inverse of `encode`; what is not understood is left out."""
    if not isinstance(text, str):
        return NOBODY
    pairs = (part.strip().partition("=") for part in text.split(",", 8)[:8])
    known = {key: unquote(value)[:NAME_MAX] for key, _, value in pairs if key in Owner._fields and value}
    return Owner(**known)


def carrier() -> dict[str, str]:
    """What another process needs to go on for the current owner: `traceparent` and `costspan-owner`. Send it along."""
    found: dict[str, str] = {}
    with guard.Guard("owners.carrier"):
        _TRACE.inject(found)
        OwnerPropagator().inject(found)
    return found


def environment() -> dict[str, str]:
    """The same as variables for a child process: `subprocess.run(…, env={**os.environ, **environment()})`."""
    found = carrier()
    return {name: found[key] for name, key in _VARIABLES.items() if key in found}


@contextmanager
def continued(carrier: Mapping[str, str]) -> Iterator[None]:
    """Within this block spans and calls belong to whom a `carrier()` of another process or thread names."""
    token = _attach(dict(carrier))
    try:
        yield
    finally:
        if token is not None:
            otel_context.detach(token)


def inherit(variables: MutableMapping[str, str] | None = None) -> Any:
    """Go on for the owner that the environment of this process names, in the current context. A token for `leave`, or None."""
    found = os.environ if variables is None else variables
    given = {key: found[name] for name, key in _VARIABLES.items() if name in found}
    token = _attach(given) if given else None
    return None if token is None else (token, otel_context.get_current())


def leave(token: Any) -> None:
    """Undo `inherit`, if this is the context that it was done in."""
    if token is not None and otel_context.get_current() is token[1]:
        otel_context.detach(token[0])


def _attach(given: dict[str, str]) -> Any:
    with guard.Guard("owners.continue"):
        return otel_context.attach(OwnerPropagator().extract(given, _TRACE.extract(given)))
    return None
