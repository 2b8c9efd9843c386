"""A LangChain program notices nothing of costspan, and no fault of costspan's reaches it."""

from __future__ import annotations

import functools
import logging
import warnings

import pytest

import langchain_odd_calls
import langchain_odd_programs
from costspan import guard
from costspan.testing import measure
from fault_injection import HIT, functions_of, sabotage
from langchain_odd_calls import outcome
from sdk_cases import collect, open_units

MODULES = ("langchain", "langchain_context", "langchain_entry", "langchain_answer", "langchain_names", "answer", "spans")
CASES = langchain_odd_calls.CASES | langchain_odd_programs.CASES
SOME = (
    "usage is null", "a stream as usual", "an async stream as usual", "a stream that is left", "a call cancelled after 3 steps",
    "a graph of nodes", "a graph that fails", "a tool that fails", "a structured answer that does not parse", "an async batch",
)  # fmt: skip

pytestmark = pytest.mark.usefixtures("quick_collections")


def test_the_matrix_is_wide_enough():
    assert len(CASES) >= 200


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_the_program_sees_no_difference(name, caplog, capfd):
    caplog.set_level(logging.WARNING)
    bare = outcome(CASES[name])
    said = [(record.name, record.getMessage()) for record in caplog.records]
    printed = capfd.readouterr()
    caplog.clear()
    with measure() as seen:
        measured = outcome(CASES[name])
        if open_units():
            collect()
        assert not open_units()
        assert not guard.swallowed()
        ended = [span.context.span_id for span in seen.exporter.get_finished_spans()]
    assert measured == bare
    assert len(ended) == len(set(ended))
    assert [(record.name, record.getMessage()) for record in caplog.records] == said
    assert capfd.readouterr() == printed


@functools.cache
def bare_outcomes():
    return {name: outcome(CASES[name]) for name in SOME}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("module", "owner", "name"), functions_of(MODULES), ids=str)
def test_a_fault_of_ours_never_reaches_the_program(module, owner, name, caplog):
    expected = bare_outcomes()
    caplog.clear()
    with measure(), pytest.MonkeyPatch.context() as patched, warnings.catch_warnings():
        guard.raise_in_tests(False)
        sabotage(patched, MODULES, module, owner, name)
        found = {each: outcome(CASES[each]) for each in SOME}
    assert found == expected
    assert {record.name for record in caplog.records if record.levelno >= logging.WARNING} <= {"costspan"}


def test_the_faults_were_real():
    here = {each for each in HIT if each.partition(".")[0] in MODULES}
    assert len(here) >= 40, sorted(here)
