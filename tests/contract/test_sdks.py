"""A program that uses a provider's SDK notices nothing of costspan: the same results, the same errors, the same requests."""

from __future__ import annotations

import logging

import pytest

from costspan import guard
from costspan.testing import measure
from sdk_cases import collect, open_units
from sdk_hosts import KINDS, outcome
from sdk_odd_calls import CASES

pytestmark = pytest.mark.usefixtures("quick_collections")


def test_the_matrix_is_wide_enough():
    assert len(CASES) >= 74


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_host_sees_no_difference(kind, name, caplog, capfd):
    caplog.set_level(logging.WARNING)
    bare = outcome(CASES[name], kind)
    said = [(record.name, record.getMessage()) for record in caplog.records]
    printed = capfd.readouterr()
    caplog.clear()
    with measure() as seen:
        measured = outcome(CASES[name], kind)
        if open_units():
            collect()
        assert not open_units()
        assert not guard.swallowed()
        if not measured["sent"]:
            assert seen.metric("costspan_unreported_calls_total") == 0
        ended = [span.context.span_id for span in seen.exporter.get_finished_spans()]
    assert measured == bare
    assert len(ended) == len(set(ended))
    assert [(record.name, record.getMessage()) for record in caplog.records] == said
    assert capfd.readouterr() == printed
