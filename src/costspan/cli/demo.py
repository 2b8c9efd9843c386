"""`costspan demo`: a pipeline of agents on a fake provider, measured, and compared with the provider's own log."""

from __future__ import annotations

import random
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

if TYPE_CHECKING:
    from costspan.demo.play import Shown


def register(app: typer.Typer) -> None:
    @app.command()
    def demo(
        seed: Annotated[int | None, typer.Option(help="Draw plan, words and usage from this number; default: a new one.")] = None,
        record_dir: Annotated[Path, typer.Option(help="Where the run record goes.")] = Path("costspan-demo"),
        metrics_port: Annotated[
            int | None, typer.Option(min=1, max=65535, help="Serve /metrics on this port until Ctrl-C.")
        ] = None,
        json: Annotated[bool, typer.Option("--json", help="The run record on stdout, all else on stderr.")] = False,
    ) -> None:
        """Run PM, Dev and QA agents on a fake provider and compare every number with its log. No key, no network."""
        from costspan.demo.play import play

        drawn = random.SystemRandom().randrange(10_000) if seed is None else seed
        out = sys.stderr if json else sys.stdout
        print(f"costspan demo, seed {drawn}: PM, Dev and QA on a fake provider (no key, no network)", file=out, flush=True)

        def show(shown: Shown) -> None:
            if json:
                print(shown.record.read_text(encoding="utf-8"), end="", flush=True)
            tell(shown, out)
            if metrics_port is not None:
                print(f"serving http://localhost:{metrics_port}/metrics, stop with Ctrl-C", file=out, flush=True)
                wait()

        shown = play(seed=drawn, record_dir=record_dir, metrics_port=metrics_port, hold=show)
        raise typer.Exit(1 if shown.differences else 0)


def tell(shown: Shown, out: TextIO) -> None:
    """The summary, where the record is, and whether all agrees."""
    from costspan.report.console import print_summary

    print_summary(shown.run, out)
    print(f"record: {shown.record}", file=out)
    print(shown.verdict, file=out, flush=True)


def wait() -> None:
    """Until Ctrl-C."""
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print(file=sys.stderr)
