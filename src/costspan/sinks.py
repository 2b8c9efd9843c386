"""Who gets the runs that have ended: the console, a folder of records, the history, the program's own function."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from costspan import guard
from costspan.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from costspan.enabling import Costspan
    from costspan.records import Run
    from costspan.settings import Settings


def attach(running: Costspan) -> None:
    """Who gets the runs that end from now on, and whether the calls outside of any run are summed up."""
    from costspan.account.outside import Outside

    settings, pipeline = running.settings, running.pipeline
    pipeline.sinks = (*_sinks(settings), *(each for each in (running.writer, running.on_run) if each is not None))
    pipeline.ledger.keep_spans = bool(pipeline.sinks)
    wanted = _shows_summaries(settings) or settings.record_dir is not None
    pipeline.settling.outside = (pipeline.settling.outside or Outside()) if wanted else None


def _sinks(settings: Settings) -> Iterable[Callable[[Run], None]]:
    if _shows_summaries(settings):
        yield _print_summary
    if settings.record_dir is not None:
        yield _recorder(settings.record_dir)


def _shows_summaries(settings: Settings) -> bool:
    if settings.summary == "auto":
        return bool(os.environ.get("COSTSPAN_UNDER_RUN")) or sys.stderr.isatty()
    return settings.summary == "on"


def _print_summary(run: Run) -> None:
    from costspan.report.console import print_summary

    print_summary(run, sys.stderr)


def tell_outside(running: Costspan) -> None:
    """What was called outside of any run: a summary of it where runs have one, else a word on why there is no record."""
    outside = running.pipeline.settling.outside
    found = outside.sum() if outside is not None else None
    if found is None:
        return
    if _shows_summaries(running.settings):
        from costspan.report.console import print_outside

        print_outside(found, sys.stderr)
    else:
        from costspan.report import evidence

        told = f"{evidence.outside(found.totals)}, {evidence.headline(found)}; they have no record"
        guard.warn_once("outside", f"{told}: {evidence.NAME_A_RUN}")


def _recorder(directory: Path) -> Callable[[Run], None]:
    def record(run: Run) -> None:
        from costspan.report.run_json import write

        try:
            write(run, directory)
        except SettingsError as error:
            guard.warn_once(f"records {directory}", str(error))

    return record
