"""Real programs that tests need: a missing one skips with the line that installs it, and fails where CI is set."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from costspan.demo.monitoring import INSTALL

ROOT = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "costspan"


def missing(what: str, install: str) -> NoReturn:
    message = f"{what} is not here; install it with: {install}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def require(*names: str, install: str = INSTALL) -> str:
    """Path of the first of these programs that is here (they are names of one program), or in costspan's cache."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path=f"{CACHE / 'bin'}{os.pathsep}{Path(sys.executable).parent}")
        if found:
            return found
    missing(names[0], install)
