"""Every Python snippet of the README and the pages runs, in order, page by page, against the fake provider."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from environments import CREWAI, python_of

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
ELSEWHERE = {"crewai.md": ("crewai", CREWAI)}
"""Pages whose snippets need a package that cannot share our environment."""
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def snippets(page: Path) -> list[str]:
    return BLOCK.findall(page.read_text())


@pytest.mark.parametrize("page", [page for page in PAGES if snippets(page)], ids=lambda page: page.name)
def test_the_snippets_of_a_page_run(page, provider, tmp_path):
    env = {
        **os.environ,
        "OPENAI_BASE_URL": provider.openai_url,
        "OPENAI_API_KEY": "none",
        "ANTHROPIC_BASE_URL": provider.anthropic_url,
        "ANTHROPIC_API_KEY": "none",
        "CREWAI_DISABLE_TELEMETRY": "true",
    }
    code = "\n".join(snippets(page))
    python = str(python_of(*ELSEWHERE[page.name])) if page.name in ELSEWHERE else sys.executable
    words = [python, "-W", "ignore", "-c", code]
    done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr


def links(page: Path) -> list[str]:
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if not link.startswith(("http", "mailto"))]


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CONTRIBUTING.md"], ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page):
    missing = [link for link in links(page) if link.partition("#")[0] and not (page.parent / link.partition("#")[0]).exists()]
    assert missing == []


def test_the_readmes_first_screen_has_exactly_the_two_commands():
    shell = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert [line.split()[:2] for line in shell[0].strip().splitlines()] == [["make", "demo"], ["make", "test"]]
