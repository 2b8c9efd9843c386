"""An environment of its own for each peer, made once with uv (or venv and pip) and kept under ~/.cache/costspan/bench.

Everybody gets the LangChain and OpenTelemetry that the measuring environment has. A peer that pins an older OpenTelemetry
gets what it asks for, and the table says so.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from pathlib import Path

SAME = ("langchain-core", "langgraph", "langchain", "opentelemetry-sdk", "opentelemetry-api")


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


def environment(name: str, packages: tuple[str, ...], *, fresh: bool = False) -> Path:
    """The Python of a peer's environment. Raises RuntimeError with the installer's last lines where it cannot be made."""
    folder = cache() / f"{name}-py{sys.version_info.major}{sys.version_info.minor}"
    python = folder / "bin" / "python"
    if (folder / "complete").exists() and not fresh:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    tool = uv()
    make = [tool, "venv", "-q", "--python", sys.executable] if tool else [sys.executable, "-m", "venv"]
    _run([*make, str(folder)])
    add = [tool, "pip", "install", "-q", "--python", str(python)] if tool else [
        str(python), "-m", "pip", "install", "-q",
    ]  # fmt: skip
    try:
        _run([*add, *packages, *pins()])
    except RuntimeError:
        _run([*add, *packages, *(pin for pin in pins() if not pin.startswith("opentelemetry"))])
    (folder / "complete").write_text("\n".join([*packages, *pins()]))
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = " ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise RuntimeError(f"{' '.join(command[:4])} …: {last}")
