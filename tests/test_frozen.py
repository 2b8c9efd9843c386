from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from decimal import Decimal

import pytest

from costspan import records
from costspan.frozen import frozen
from costspan.records import Call, Cost, Totals, Usage

RECORDS = [
    kind
    for kind in vars(records).values()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
]


@frozen
class Example:
    first: int
    second: str = "b"
    third: dict[str, int] = dataclasses.field(default_factory=dict)


def test_a_frozen_record_cannot_be_changed() -> None:
    made = Example(1)
    for change in (lambda: setattr(made, "first", 2), lambda: delattr(made, "first"), lambda: setattr(made, "new", 2)):
        with pytest.raises((dataclasses.FrozenInstanceError, AttributeError, TypeError)):
            change()
    assert type(made) is Example
    assert not hasattr(made, "__dict__")


def test_it_is_made_by_place_by_name_and_by_default() -> None:
    assert Example(1, "x") == Example(first=1, second="x") == Example(1, "x", {})
    assert Example(1).third is not Example(1).third
    assert repr(Example(1)) == "Example(first=1, second='b', third={})"
    with pytest.raises(TypeError, match="first"):
        Example()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="fourth"):
        Example(1, fourth=2)  # type: ignore[call-arg]


def test_it_can_be_hashed_copied_replaced_and_pickled() -> None:
    usage = Usage(1, 2)
    assert hash(usage) == hash(Usage(1, 2))
    assert dataclasses.replace(usage, output_tokens=3) == Usage(1, 3)
    cost = Cost(Decimal(1), {"fee": Decimal(1)}, "table", "x")
    for again in (copy.copy(cost), copy.deepcopy(cost), pickle.loads(pickle.dumps(cost))):
        assert again == cost
        assert type(again) is Cost


def test_every_record_has_the_signature_and_defaults_that_its_fields_say() -> None:
    assert Call in RECORDS
    assert Totals in RECORDS
    for kind in RECORDS:
        parameters = inspect.signature(kind).parameters
        fields = dataclasses.fields(kind)
        assert list(parameters) == [field.name for field in fields]
        needed = {field.name: None for field in fields if parameters[field.name].default is inspect.Parameter.empty}
        made = kind(**needed)
        for field in fields:
            if field.default is not dataclasses.MISSING:
                assert getattr(made, field.name) is field.default
            elif field.default_factory is not dataclasses.MISSING:
                assert getattr(made, field.name) == field.default_factory()
