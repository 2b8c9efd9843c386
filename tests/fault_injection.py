"""Makes functions of the instrumentation raise, one at a time, behind the guard that each of them has."""

from __future__ import annotations

import importlib
import inspect
from types import FunctionType

from costspan import guard

PASSAGES = {"SyncReader", "AsyncReader", "SyncBody", "AsyncBody", "_Proxy", "_InRun"}
"""Classes whose methods are the host's own way through: they call what the host called, and ours only behind a guard."""
HIT: set[str] = set()
"""The functions that were really called while they were broken."""


class SabotageError(Exception):
    """What a broken function raises."""


def functions_of(modules):
    """(module, class or None, name) of everything in these modules that runs beside the host."""
    return sorted(set(_functions(modules)), key=str)


def _functions(modules):
    for module in modules:
        loaded = importlib.import_module(f"costspan.instrument.{module}")
        for name, value in vars(loaded).items():
            if getattr(value, "__module__", None) != loaded.__name__ or name in PASSAGES:
                continue
            if inspect.isclass(value):
                for method, inner in vars(value).items():
                    if isinstance(inner, (FunctionType, staticmethod)) and not method.startswith("__"):
                        yield module, name, method
            elif isinstance(value, FunctionType) and not name.startswith(("wrap_", "_wrap_")):
                yield module, None, name


def sabotage(patched, modules, module, owner, name):
    """Replace a function by one that raises, wherever these modules know it by name."""
    home = importlib.import_module(f"costspan.instrument.{module}")
    place = home if owner is None else getattr(home, owner)
    was = vars(place)[name]

    def broken(*args, **kwargs):
        HIT.add(f"{module}.{owner}.{name}")
        raise SabotageError(name)

    plain = was.__func__ if isinstance(was, staticmethod) else was
    behind_guard = plain.__code__.co_filename.endswith("guard.py")
    replacement = guard.guarded("sabotage")(broken) if behind_guard else broken
    if owner is not None:
        patched.setattr(place, name, staticmethod(replacement) if isinstance(was, staticmethod) else replacement)
        return
    for other in modules:
        loaded = importlib.import_module(f"costspan.instrument.{other}")
        if vars(loaded).get(name) is was:
            patched.setattr(loaded, name, replacement)
