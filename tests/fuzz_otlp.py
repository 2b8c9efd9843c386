"""Fuzzes what the receiver does with bytes: `python tests/fuzz_otlp.py [SECONDS]`, with `pip install atheris`.

Atheris follows which lines of the readers an input reaches and mutates those that reach new ones. The first byte of an input
says how it came (protobuf, JSON, gzip, zstd, deflate); the rest is unpacked, decoded, normalised and stored, and now and then
everything is settled. Only a refusal may come out of it; anything else, the guard's swallowed errors too, ends the run with
its input.
"""

from __future__ import annotations

import gzip
import sys
import tempfile
import zlib
from pathlib import Path

import atheris
import zstandard

with atheris.instrument_imports(
    include=["costspan.intake", "costspan.normalise", "costspan.server", "costspan.account", "costspan.history"]
):
    from costspan import guard
    from costspan.server.errors import RefusedError
    from costspan.server.unpack import unpack
    from history_parts import body
    from otlp_build import to_json
    from serve_parts import Bench

from history_parts import spans
from otlp_build import request

WAYS = (("", False), ("", True), ("gzip", False), ("zstd", True), ("deflate", True))
SETTLED_EVERY = 500
INPUTS = 2_000
"""Of so many inputs a history is filled, then a new one is begun: mutated spans keep their trace, which would grow and grow."""
PACKED = {"": bytes, "gzip": gzip.compress, "zstd": zstandard.ZstdCompressor().compress, "deflate": zlib.compress}
TRACES = Path(__file__).parent / "pipeline" / "traces"


class Target:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bench = Bench(folder / "history.db")
        self._count = 0

    def __call__(self, data: bytes) -> None:
        if not data:
            return
        encoding, is_json = WAYS[data[0] % len(WAYS)]
        try:
            self._bench.send(unpack(data[1:], encoding, limit=1 << 20), is_json=is_json)
        except RefusedError as refusal:
            assert refusal.status in (400, 413), refusal
        self._count += 1
        if self._count % SETTLED_EVERY == 0:
            self._bench.wait()
        if self._count % INPUTS == 0:
            self._bench.close()
            self._bench = Bench(self._folder / f"history-{self._count}.db")
        assert guard.swallowed() == {}, guard.swallowed()
        assert not self._bench.inbox.trouble, self._bench.inbox.trouble


def write_seeds(folder: Path) -> None:
    """Valid requests in each packing: one made by hand, and traces of real instrumentations in JSON."""
    folder.mkdir()
    plain = [(body(1), False), (to_json(request(*spans(2))), True)]
    plain += [(gzip.decompress(path.read_bytes()), True) for path in sorted(TRACES.glob("*.json.gz"))]
    for number, (data, is_json) in enumerate(plain):
        for way, (encoding, json) in enumerate(WAYS):
            if json == is_json and len(data) < 40_000:
                (folder / f"{number}-{way}").write_bytes(bytes([way]) + PACKED[encoding](data))


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    folder = Path(tempfile.mkdtemp(prefix="costspan-fuzz-"))
    write_seeds(folder / "seeds")
    options = [
        f"-max_total_time={seconds}",
        "-max_len=40000",
        "-seed=1",
        "-print_final_stats=1",
        "-timeout=20",
        "-rss_limit_mb=2048",
    ]
    options.append(f"-artifact_prefix={folder}/")
    atheris.Setup([sys.argv[0], *options, str(folder / "seeds")], Target(folder))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
