"""`costspan demo`: a pipeline of agents on a fake provider, measured, and compared with the provider's own log."""

from __future__ import annotations

import random
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from costspan.errors import SettingsError

if TYPE_CHECKING:
    from costspan.demo.play import Shown


def register(app: typer.Typer) -> None:
    @app.command()
    def demo(
        seed: Annotated[int | None, typer.Option(help="Draw plan, words and usage from this number; default: a new one.")] = None,
        record_dir: Annotated[Path, typer.Option(help="Where the record, the page and the metrics go.")] = Path("costspan-demo"),
        metrics_port: Annotated[
            int | None, typer.Option(min=0, max=65535, help="Serve /metrics on this port (0: any) until Ctrl-C.")
        ] = None,
        html: Annotated[Path | None, typer.Option(help="The run as one HTML page; default: beside the record.")] = None,
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
            tell(shown, html or shown.record.with_suffix(".html"), out)
            if metrics_port is not None:
                serve(shown, out)

        shown = play(seed=drawn, record_dir=record_dir, metrics_port=metrics_port, hold=show)
        raise typer.Exit(1 if shown.differences else 0)


def tell(shown: Shown, page: Path, out: TextIO) -> None:
    """The summary, where the record, the page and the metrics are, and whether all agrees."""
    from costspan.report import html
    from costspan.report.console import print_summary

    print_summary(shown.run, out, record=str(shown.record))
    written = html.write([shown.run], page)
    if written == shown.record.with_suffix(written.suffix):
        print(f"beside it the run as a page ({written.suffix}) and its metrics ({shown.metrics.suffix})", file=out)
    else:
        print(f"page {written}, metrics {shown.metrics}", file=out)
    print(shown.verdict, file=out, flush=True)


def serve(shown: Shown, out: TextIO) -> None:
    """Say where /metrics is, and stay until Ctrl-C."""
    if shown.metrics_url is None:
        raise SettingsError("/metrics could not be served: choose another --metrics-port")
    print(f"serving {shown.metrics_url}/metrics, stop with Ctrl-C", file=out, flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print(file=sys.stderr)
