"""The oldest LangChain that is supported, the lower bound of the extra, with the LangGraph of its days."""

from __future__ import annotations

from pathlib import Path

import pytest

from environments import TOOLS, python_of
from inside import passes, run_once, test_names

PROGRAM = Path(__file__).with_name("langchain_oldest_inside.py")
REQUIREMENTS = ["langchain-core==0.3.40", "langgraph<0.4", "langchain-openai<0.4", *TOOLS]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", test_names(PROGRAM))
def test_the_oldest_langchain(name):
    passes(run_once(PROGRAM, python_of("langchain_oldest", REQUIREMENTS)), name)
