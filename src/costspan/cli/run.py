"""`costspan run [--] python app.py …`: run a program with costspan switched on, without touching its code."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(command)


def command(
    program: Annotated[list[str], typer.Argument(help="The command, as you would type it: python app.py …")],
) -> None:
    """Run a program with costspan switched on: summary on stderr after each run, its own exit code at the end.

    Everything else by environment variables (COSTSPAN_RECORD_DIR, OTEL_METRICS_EXPORTER=prometheus, …).
    """
    words = program[1:] if program[0] == "--" else program
    path = interpreter(words[0]) if words else None
    if path is None:
        named = words[0] if words else "(none given)"
        print(f"costspan: no such program: {named}; try: costspan run python app.py", file=sys.stderr)
        raise typer.Exit(2)
    sys.stdout.flush()
    # The full path as argv[0] too: Python finds its virtual environment by it.
    os.execve(path, [path, *words[1:]], environment(os.environ))


def interpreter(word: str) -> str | None:
    """The program's path. A bare `python` is the one that costspan is installed for: another could not import it."""
    return sys.executable if word in {"python", "python3"} else shutil.which(word)


def environment(given: os._Environ[str] | dict[str, str]) -> dict[str, str]:
    """The program's environment: ours first on PYTHONPATH, and the mark by which it knows."""
    autostart = str(Path(__file__).resolve().parent.parent / "autostart" / "site")
    paths = [autostart, *(path for path in given.get("PYTHONPATH", "").split(os.pathsep) if path and path != autostart)]
    return {**given, "PYTHONPATH": os.pathsep.join(paths), "COSTSPAN_UNDER_RUN": "1"}
