"""Fixtures that every test may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from costspan.testing import FakeProvider, Measured, measure

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    """A fake provider on loopback (see `costspan.testing`), seed 1."""
    with FakeProvider(seed=1) as running:
        yield running


@pytest.fixture
def seen() -> Iterator[Measured]:
    """costspan switched on for every framework, with what it sees kept in memory (see `costspan.testing.measure`)."""
    with measure() as measured:
        yield measured
