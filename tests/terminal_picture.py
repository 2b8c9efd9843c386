"""What a command shows on a terminal, as SVG: `python tests/terminal_picture.py TITLE OUT.svg COMMAND …`."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

COLUMNS = 92


def on_a_terminal(command: list[str]) -> str:
    """What a command writes to a terminal of that many columns, colours and all."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 100, COLUMNS, 0, 0))
    clean = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "NO_COLOR"}}
    told = b""
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env={**clean, "TERM": "xterm-256color"}):
        os.close(theirs)
        try:
            while piece := os.read(ours, 65_536):
                told += piece
        except OSError:  # Linux: the other side has been closed
            pass
    os.close(ours)
    return told.decode().replace("\r\n", "\n")


def picture(command: list[str], title: str, path: Path) -> None:
    """Take the picture."""
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(on_a_terminal(command)))
    drawn = console.export_svg(title=title)
    # rich names two web fonts; a picture loads nothing, so what is on the machine is all there is.
    kept = [line for line in drawn.splitlines() if "cdnjs" not in line and "<!--" not in line]
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")


if __name__ == "__main__":
    picture(sys.argv[3:], sys.argv[1], Path(sys.argv[2]))
