"""Virtual environments for tests of packages that cannot share one: made once, cached by what is in them.

`python_of("layers", [...])` answers with the interpreter of an environment that has costspan (from this checkout) and the
requirements. Without uv, or without a package index, the test skips with the line that mends it; in CI it fails.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "costspan" / "venvs"
SECONDS = 420
TOOLS = ["pytest>=8", "pytest-asyncio>=0.24", "pytest-timeout>=2.3"]
"""What an environment needs besides the packages under test."""
CREWAI = ["crewai>=1.15", "anthropic", "litellm", *TOOLS]


def python_of(name: str, requirements: list[str], *, extra: str = "") -> Path:
    """The interpreter of the environment `name`; the first call of a machine installs it."""
    uv = shutil.which("uv") or shutil.which(str(Path(sys.executable).parent / "uv"))
    if uv is None:
        _missing("uv is not installed: pip install uv")
    key = hashlib.sha256("\n".join([str(ROOT), extra, *requirements]).encode()).hexdigest()[:12]
    home = CACHE / f"{name}-{key}"
    python = home / "bin" / "python"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}-{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # pytest-xdist: one worker installs, the others wait
        if not (home / "ready").exists():
            shutil.rmtree(home, ignore_errors=True)
            _run([uv, "venv", "-q", "--python", sys.executable, str(home)])
            ours = f"{ROOT}[{extra}]" if extra else str(ROOT)
            _run([uv, "pip", "install", "-q", "--python", str(python), "-e", ours, *requirements])
            (home / "ready").touch()
    return python


def _run(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        _missing(f"could not install: {' '.join(words)}\n{done.stderr[-2000:]}")


def _missing(why: str) -> None:
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)
