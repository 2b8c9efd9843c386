"""What `costspan run` does inside the program: enable, and lose nothing when the program is told to stop."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

from costspan import guard
from costspan.errors import CostspanError

if TYPE_CHECKING:
    from types import FrameType


def start() -> None:
    """Called once per interpreter. A setting that cannot be used ends the program with one line: the user asked for it."""
    from costspan.enabling import enable

    try:
        running = enable()
        if running is not None:
            running.from_outside = True
    except CostspanError as error:
        print(f"costspan: {error}", file=sys.stderr)  # noqa: T201 - the command line's own message
        os._exit(2)
    with guard.Guard("signal"):
        # SIGTERM would end Python without its exit handlers; a program that handles it itself installs its own later.
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminated)


def _terminated(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
    sys.exit(128 + number)
