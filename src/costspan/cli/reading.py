"""What `diff` and `check` read: trace files and run records, as one set."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from costspan.intake.report_files import Report
    from costspan.records import Call, Run


class Read(NamedTuple):
    """The runs, all calls (also those outside of runs), and the sums and problems of the reading."""

    runs: list[Run]
    calls: list[Call]
    report: Report
    partial: bool
    """Whether part of the files, or of the user's prices, could not be used."""


def read(files: Sequence[str]) -> Read:
    """Read the files; what could not be read is told on standard error. Raises InputError when nothing can be."""
    from costspan import settings
    from costspan.intake.report_files import report_files
    from costspan.price.book import PriceBook

    runs: list[Run] = []
    calls: list[Call] = []
    book = PriceBook(settings.read().prices, strict=True)
    found = report_files(files, book, runs.append, see=calls.append)
    for problem in found.problems:
        print(f"costspan: {problem}", file=sys.stderr)
    return Read(runs, calls, found, found.partial or bool(book.problems))
