"""Open LangChain runs as a tree of our own: where each of them stands, between LangChain's parents and OpenTelemetry's Context.

LangChain knows which run is inside which. The Context knows what others have opened in between: a `costspan.agent` of the
host in a graph's node, say. A run belongs where both agree: inside its parent, and there inside the innermost unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import context as otel_context

from costspan.instrument.spans import UNIT, Unit, current
from costspan.records import CALL

if TYPE_CHECKING:
    from uuid import UUID

    from opentelemetry.context import Context

    from costspan.instrument.heard import Heard


class Entry:
    """One open LangChain run: its unit, or what a unit would need should a call be made inside it."""

    __slots__ = ("around", "asked", "first_token_ns", "heard", "lazy", "named", "parent", "run_id", "started_ns", "unit")

    def __init__(self, run_id: UUID | None, parent: Entry | None) -> None:
        self.run_id = run_id
        self.parent = parent
        self.around: Context | None = None if parent is None else deeper(parent)
        """The Context that it began in, where that is deeper than its parent."""
        self.named: str | None = None if parent is None else parent.named
        """The agent that its metadata names, which whatever runs inside inherits."""
        self.unit: Unit | None = None
        self.lazy: tuple[str, str | None] | None = None
        self.started_ns = 0
        self.asked = False
        """A call's model is being asked, or was: LangChain has gone past its callbacks' start."""
        self.first_token_ns = 0
        self.heard: Heard | None = None


def deeper(parent: Entry) -> Context | None:
    """The current Context, if it is inside a unit that somebody has opened within `parent`; else None.

    A model's call is no place to be in: what a wrapper of models calls stands beside the wrapper's own call.
    """
    context = otel_context.get_current()
    here = context.get(UNIT)
    if here is None or here is parent.unit:
        return None
    while isinstance(here, Unit) and here.kind == CALL and here.parent is not None:
        here = here.parent
        context = here.context
    if not isinstance(here, Unit):
        return None
    within = _units(parent)
    if here in within:
        return None
    above = here.parent
    while above is not None and above not in within:
        above = above.parent
    return None if above is None else context


def _units(entry: Entry | None) -> list[Unit]:
    """The unit that the code of `entry` runs in; where that opened late, those around it too, which were current before."""
    found: list[Unit] = []
    while entry is not None:
        if entry.unit is not None:
            found.append(entry.unit)
            if entry.lazy is None:
                break
        if entry.around is not None:
            around = entry.around.get(UNIT)
            return [*found, around] if isinstance(around, Unit) else found
        entry = entry.parent
    return found


def context_inside(entry: Entry | None) -> Context | None:
    """The Context that the code of `entry` should see; None where no unit is around it."""
    while entry is not None:
        if entry.unit is not None:
            return entry.unit.context
        if entry.around is not None:
            return entry.around
        entry = entry.parent
    return None


def unit_around(entry: Entry) -> Unit | None:
    """The unit that the run of `entry` is inside of, or would be if it were opened now."""
    context = entry.around or context_inside(entry.parent)
    if context is None:
        return current()
    found = context.get(UNIT)
    return found if isinstance(found, Unit) else None
