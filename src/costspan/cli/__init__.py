"""The command line: one module per command, each with `register(app)`; every command calls a function that tests call too.

Machine output goes to stdout, everything else to stderr. Exit codes: 0 fine, 1 a check failed or input was partly
unreadable, 2 wrong use, 3 no data or unpriced (`check`).
"""

from __future__ import annotations

import errno
import importlib
import inspect
import io
import os
import sys
from typing import Annotated, Final

import typer

from costspan.errors import CostspanError

COMMANDS = ("demo", "run", "report", "diff", "check", "doctor", "price", "rules", "dashboards", "serve", "history")
"""Modules of this package, in the order in which `--help` lists them."""
_DISK_TROUBLE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def build() -> typer.Typer:
    """The whole command line; commands import what they need when they run."""
    app = typer.Typer(
        name="costspan",
        help="What did that AI agent's run cost, and why?",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def root(
        _: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="Print costspan's version and end.")
        ] = False,
    ) -> None:
        """What did that AI agent's run cost, and why?"""

    for name in COMMANDS:
        importlib.import_module(f"costspan.cli.{name}").register(app)
    _fill_paragraphs(app)
    return app


def _fill_paragraphs(app: typer.Typer) -> None:
    """Help is wrapped to the terminal's width: the line breaks of a docstring inside a paragraph would stand between."""
    for command in app.registered_commands:
        text = inspect.cleandoc(command.help or (command.callback and command.callback.__doc__) or "")
        command.help = "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
    for group in app.registered_groups:
        if group.typer_instance is not None:
            _fill_paragraphs(group.typer_instance)


def _version(asked: bool) -> None:
    if asked:
        from costspan import __version__

        print(f"costspan {__version__}")
        raise typer.Exit


def main() -> None:
    """Entry point of the `costspan` command: set-up errors become one line and exit code 2.

    A name that the output's encoding does not have (a code page of Windows) is escaped, as on standard error.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        build()()
    except CostspanError as error:
        print(f"costspan: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.errno not in _DISK_TROUBLE:
            raise
        print(f"costspan: the output could not be written ({error.strerror}): it is not whole", file=sys.stderr)
        _drop_output()
        sys.exit(1)


def _drop_output() -> None:
    """What still waits for standard output goes nowhere: Python would try again at its end, and complain at length."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
