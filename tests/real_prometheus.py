"""A real Prometheus on loopback for tests, and promtool's back-filling of recording rules."""

from __future__ import annotations

import socket
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from real_programs import require

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def prometheus(data: Path, config: str = "{}\n") -> Iterator[str]:
    """The address of a Prometheus with this data and configuration; it is gone when the block ends."""
    file, log = data.parent / "prometheus.yml", data.parent / "prometheus.log"
    file.write_text(config, encoding="utf-8")
    port = free_port()
    with log.open("a") as output:
        process = subprocess.Popen(
            [
                require("prometheus"), f"--config.file={file}", f"--storage.tsdb.path={data}", "--log.level=warn",
                f"--web.listen-address=127.0.0.1:{port}", "--storage.tsdb.retention.time=10y",
                "--enable-feature=exemplar-storage",
            ],
            stdout=output, stderr=output,
        )  # fmt: skip
        try:
            _wait(f"http://127.0.0.1:{port}", process, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(20)


def _wait(base: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 30
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{base}/-/ready", timeout=5).close()
        except (OSError, urllib.error.HTTPError):
            time.sleep(0.05)
        else:
            return
    raise AssertionError(log.read_text())


def backfill(data: Path, layers: Sequence[str], *, start: float, end: float) -> None:
    """Evaluate recording rules over the past, layer by layer: each reads what the one before it wrote."""
    rules = data.parent / "rules-of-the-past.yml"  # one name for all: Prometheus derives the moments of evaluation from it
    for layer in layers:
        rules.write_text(layer, encoding="utf-8")
        with prometheus(data) as base:
            tool = [require("promtool"), "tsdb", "create-blocks-from", "rules", f"--url={base}", f"--start={start:.0f}"]
            tool += [f"--end={end:.0f}", "--eval-interval=1m", f"--output-dir={data}", str(rules)]
            done = subprocess.run(tool, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
