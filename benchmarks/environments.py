"""An environment of its own for each peer, made with uv (or venv and pip) and kept under ~/.cache/costspan/bench.

Everybody gets the LangChain, SDKs and OpenTelemetry that the measuring environment has; when those change, or what a peer
consists of, its environment is made again. A peer that pins older SDKs or an older OpenTelemetry gets what it asks for, and
the table says so.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

SAME = ("langchain-core", "langgraph", "langchain", "openai", "anthropic", "opentelemetry-sdk", "opentelemetry-api")

_LAST = 3


def cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "costspan" / "bench"


def uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return shutil.which("uv") or (str(beside) if beside.exists() else None)


def pins() -> list[str]:
    found = []
    for package in SAME:
        try:
            found.append(f"{package}=={importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def environment(name: str, packages: tuple[str, ...]) -> Path:
    """The Python of a peer's environment. Raises RuntimeError with the installer's last lines where it cannot be made."""
    folder = cache() / f"{name}-py{sys.version_info.major}{sys.version_info.minor}"
    python = folder / "bin" / "python"
    wanted, complete = "\n".join([*packages, *pins()]), folder / "complete"
    if complete.exists() and complete.read_text() == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    tool = uv()
    make = [tool, "venv", "-q", "--python", sys.executable] if tool else [sys.executable, "-m", "venv"]
    _run([*make, str(folder)])
    add = [tool, "pip", "install", "-q", "--python", str(python)] if tool else [
        str(python), "-m", "pip", "install", "-q",
    ]  # fmt: skip
    for given_up in ((), ("openai", "anthropic"), ("opentelemetry",), ("openai", "anthropic", "opentelemetry")):
        try:
            _run([*add, *packages, *(pin for pin in pins() if not pin.startswith(given_up))])
            break
        except RuntimeError:
            if len(given_up) == _LAST:
                raise
    complete.write_text(wanted)
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = " ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise RuntimeError(f"{' '.join(command[:4])} …: {last}")
