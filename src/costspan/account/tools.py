"""One execution of a tool, once: two instrumentations of one framework both show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costspan.account.owner import alike

if TYPE_CHECKING:
    from costspan.account.owner import Unit
    from costspan.readings import Reading, SpanRecord

    Execution = tuple[SpanRecord, Reading, Unit]

_OPEN_MAX: Final = 256
"""Executions of one tool at the same time that are compared with the next one."""


def join_tools(executions: list[Execution]) -> list[Execution]:
    """Drop executions that another scope's span already told of: the same tool, at the same time, one to one.

    The outer span of a pair is kept. Where both know the id of the tool call, it must be the same. Executions of one scope are
    never joined, so that a tool run five times in parallel stays five.
    """
    if len({record.scope for record, _, _ in executions}) < 2:
        return executions
    kept: list[tuple[Execution, set[str]]] = []
    recent: dict[str, list[int]] = {}
    for execution in sorted(executions, key=lambda each: (each[0].start_ns, -each[0].end_ns)):
        record, _, unit = execution
        open_ones = recent.setdefault((unit.name or "").lower(), [])
        open_ones[:] = [place for place in open_ones[-_OPEN_MAX:] if kept[place][0][0].end_ns >= record.start_ns]
        same = [place for place in open_ones if _same(kept[place], execution)]
        if same:
            kept[min(same, key=lambda place: kept[place][0][0].end_ns)][1].add(record.scope)
        else:
            open_ones.append(len(kept))
            kept.append((execution, {record.scope}))
    return [execution for execution, _ in kept]


def _same(known: tuple[Execution, set[str]], execution: Execution) -> bool:
    (outer, told, unit), scopes = known
    inner, reading, other = execution
    if inner.scope in scopes or not alike(unit.name, other.name) or inner.end_ns > outer.end_ns:
        return False
    return told.tool_call_id is None or reading.tool_call_id is None or told.tool_call_id == reading.tool_call_id
