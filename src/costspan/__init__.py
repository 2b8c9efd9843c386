"""costspan: what did that AI agent's run cost, and why?

The public names are listed in `__all__`; each loads on first use, so that `import costspan` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from costspan.enabling import disable, enable
    from costspan.instrument.manual import agent, record_call, run, step, tool
    from costspan.verbs import aggregate, calculate_cost, extract_usage, format_summary

__version__ = "0.1.0"

__all__ = [
    "agent",
    "aggregate",
    "calculate_cost",
    "disable",
    "enable",
    "extract_usage",
    "format_summary",
    "record_call",
    "run",
    "step",
    "tool",
]

_HOME = {
    "enable": "costspan.enabling",
    "disable": "costspan.enabling",
    "run": "costspan.instrument.manual",
    "agent": "costspan.instrument.manual",
    "step": "costspan.instrument.manual",
    "tool": "costspan.instrument.manual",
    "record_call": "costspan.instrument.manual",
    "extract_usage": "costspan.verbs",
    "calculate_cost": "costspan.verbs",
    "aggregate": "costspan.verbs",
    "format_summary": "costspan.verbs",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        message = f"module 'costspan' has no attribute {name!r}"
        raise AttributeError(message)
    import importlib

    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
