"""Instructions, counted by callgrind while a block of Python runs: exact where clocks on a busy machine are not.

Under `valgrind --tool=callgrind --instr-atstart=no` a process runs at a fifth of its speed until it asks for its
instructions to be counted. It asks by "client requests": a sequence of machine instructions that does nothing on a
processor and that Valgrind knows (valgrind/valgrind.h). The few bytes are written here, so no compiler is needed.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import re
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_TOOL = (ord("C") << 24) + (ord("T") << 16)
DUMP_STATS_AT = _TOOL + 3
START_INSTRUMENTATION = _TOOL + 4
STOP_INSTRUMENTATION = _TOOL + 5

_CODE = {
    # mov rax, rdi; xor edx, edx; rol rdi 3, 13, 61, 51; xchg rbx, rbx; mov rax, rdx; ret
    "x86_64": "4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3",
    # mov x4, x0; mov x3, #0; ror x12 3, 13, 51, 61; orr x10, x10, x10; mov x0, x3; ret
    "aarch64": "e40300aa 030080d2 8c0dcc93 8c35cc93 8ccdcc93 8cf5cc93 4a010aaa e00303aa c0035fd6",
}
ARGUMENTS = ("--tool=callgrind", "--instr-atstart=no", "-q")


def available() -> str | None:
    """The path of valgrind; None where it is not installed, or this processor's requests are not known here."""
    return shutil.which("valgrind") if platform.machine() in _CODE else None


def command(folder: Path) -> list[str]:
    """What to put before a Python command line so that `Counter` works in it."""
    path = available()
    if path is None:
        raise RuntimeError("valgrind is not installed: apt-get install valgrind")
    return [path, *ARGUMENTS, f"--callgrind-out-file={folder}/callgrind.out"]


class Counter:
    """Counts the instructions of all threads between `start` and `stop`. Only inside `command(folder)`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        code = bytes.fromhex(_CODE[platform.machine()])
        # Kept: the function lives in this memory.
        self._memory = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._memory.write(code)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        self._call = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)

    def _request(self, number: int, argument: int = 0) -> None:
        block = (ctypes.c_uint64 * 6)(number, argument)
        self._call(ctypes.addressof(block))

    def start(self) -> None:
        """Count from here on. By a dump and not by setting to zero, which spoils the counts of other threads."""
        self._request(START_INSTRUMENTATION)
        self._dump("before")

    def stop(self) -> int:
        """The instructions since `start`, of all threads, those included that began and ended meanwhile."""
        self._dump("counted")
        self._request(STOP_INSTRUMENTATION)
        total = 0
        for path in self._folder.glob("callgrind.out*"):
            text = path.read_text(errors="replace")
            match = re.search(r"^(?:summary|totals): (\d+)", text, re.MULTILINE)
            if match and "Client Request: counted" in text:
                total += int(match.group(1))
            path.unlink()
        return total

    def _dump(self, name: str) -> None:
        reason = ctypes.create_string_buffer(name.encode())
        self._request(DUMP_STATS_AT, ctypes.addressof(reason))
