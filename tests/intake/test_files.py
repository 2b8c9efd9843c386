from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING

import pytest
import zstandard

import otlp_build as build
from costspan.errors import InputError
from costspan.intake import files, sources
from costspan.intake.files import read_files

if TYPE_CHECKING:
    from pathlib import Path

PIPELINE = build.request(*(build.chat(n) for n in range(1, 6)))
JSON = build.to_json(PIPELINE)
PROTOBUF = build.to_protobuf(PIPELINE)
MORE = build.request(build.chat(6), build.chat(7))
LINES = JSON + b"\n" + build.to_json(MORE) + b"\n"

FORMATS = {
    "a request in JSON": (JSON, 5),
    "JSON in lines": (LINES, 7),
    "JSON in lines with blank ones": (b"\n" + JSON + b"\r\n\n\n" + build.to_json(MORE), 7),
    "pretty JSON": (build.to_json(PIPELINE, indent=2), 5),
    "pretty JSON, several": (build.to_json(PIPELINE, indent="\t") + b"\n" + build.to_json(MORE, indent=1), 7),
    "JSON with a byte order mark": (b"\xef\xbb\xbf" + build.to_json(PIPELINE, indent=2), 5),
    "a list of requests": (build.to_json([PIPELINE, MORE]), 7),
    "a protobuf message": (PROTOBUF, 5),
    "protobuf messages in a row": (PROTOBUF + build.to_protobuf(MORE), 7),
    "protobuf with lengths": (build.framed(PROTOBUF, build.to_protobuf(MORE)), 7),
    "protobuf with lengths, packed one by one": (build.framed(build.zst(PROTOBUF), build.zst(build.to_protobuf(MORE))), 7),
    "JSON with lengths, packed one by one": (build.framed(build.zst(JSON), build.zst(build.to_json(MORE))), 7),
}


def read(path: Path, data: bytes, name: str = "trace") -> tuple[list[int], list[str]]:
    found = read_files([build.save(path / name, data)])
    return [record.span_id for record in found], [str(problem) for problem in found.problems]


def noisy_lines(count: int) -> bytes:
    """Lines that hardly pack, so that a place in the packed file is about the same place in the data."""
    chance = random.Random(count)
    noises = [{"noise": chance.randbytes(500).hex()} for _ in range(count)]
    return b"\n".join(build.to_json(build.request(build.chat(n, attributes=noise))) for n, noise in enumerate(noises, 1))


@pytest.mark.parametrize("packing", [bytes, build.gz, build.zst, lambda data: build.gz(data[:100]) + build.gz(data[100:])])
@pytest.mark.parametrize("shape", FORMATS)
def test_every_format_is_told_from_its_content(tmp_path: Path, shape: str, packing) -> None:
    data, count = FORMATS[shape]
    assert read(tmp_path, packing(data)) == (list(range(1, count + 1)), [])


def test_many_files_are_one_set(tmp_path: Path) -> None:
    first = build.save(tmp_path / "a.json", JSON)
    second = build.save(tmp_path / "b.pb.gz", build.gz(build.to_protobuf(MORE)))
    seen: list[int] = []
    found = read_files([first, str(second)], seen.append)
    assert [record.span_id for record in found] == [1, 2, 3, 4, 5, 6, 7]
    assert sum(seen) == first.stat().st_size + second.stat().st_size


def test_standard_input_is_a_file_too(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stdin:
        buffer = io.BytesIO(build.gz(LINES))

    monkeypatch.setattr("sys.stdin", Stdin)
    assert len(list(read_files(["-"]))) == 7


def test_a_run_record_is_recognised_however_it_is_written(tmp_path: Path) -> None:
    record = {"schema_version": 1, "run": {"id": "r"}, "calls": []}
    paths = [
        build.save(tmp_path / "plain.json", build.to_json(record)),
        build.save(tmp_path / "pretty.json.gz", build.gz(build.to_json(record, indent=2))),
        build.save(tmp_path / "lines.jsonl", build.to_json(record) + b"\n" + JSON + b"\n"),
    ]
    found = read_files(paths)
    assert len(list(found)) == 5
    assert found.records == [record] * 3
    assert not found.problems


@pytest.mark.parametrize("name", ["missing", "folder"])
def test_a_file_that_cannot_be_opened_is_refused_before_anything_is_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match=name):
        read_files([build.save(tmp_path / "good", JSON), tmp_path / name])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"   \n", "neither"),
        (build.gz(b""), "is empty"),
        (bytes(range(256)) * 40, "neither"),
        (b"\0" * 5000, "neither"),
        (b"hello, this is a log file\n", "neither"),
        (b"PK\x03\x04....", "zip"),
        (b"{}", "holds no spans"),
        (b'{"a": 1}', "neither OTLP"),
        (b"[]", "holds no spans"),
        (b"[1, 2]", "not an object"),
        (b'{"schema_version": 7, "run": {}}', "version 7"),
        (b'{"resourceMetrics": []}', "metrics or logs"),
        (b'{\n "name": "chat",\n "context": {"trace_id": "0x1"}\n}', "console exporter"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "not valid protobuf"),
    ],
)
def test_what_is_not_a_trace_is_named_in_one_line(tmp_path: Path, data: bytes, words: str) -> None:
    spans, problems = read(tmp_path, data, "odd.bin")
    assert spans == []
    assert len(problems) == 1
    assert words in problems[0]
    assert "odd.bin" in problems[0]
    assert "\n" not in problems[0]


def test_random_junk_is_told_of_and_gives_no_spans(tmp_path: Path) -> None:
    chance = random.Random(4)
    for size in (1, 7, 100, 5000):
        for first in (b"", b"{", b"[", b"\x0a", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\0\0\0\x09\x0a"):
            spans, problems = read(tmp_path, first + chance.randbytes(size))
            assert spans == []
            assert 1 <= len(problems) <= 2, (first, problems)


@pytest.mark.parametrize(("pack", "word"), [(build.gz, "gzip"), (build.zst, "zstd")])
@pytest.mark.parametrize("data", [LINES * 200, build.framed(PROTOBUF) * 300, build.to_json(PIPELINE, indent=1) * 200])
def test_packed_data_cut_short_keeps_what_came_before(tmp_path: Path, data: bytes, pack, word: str) -> None:
    packed = pack(data)
    whole, _ = read(tmp_path, packed)
    spans, problems = read(tmp_path, packed[: len(packed) * 2 // 3])
    assert spans == whole[: len(spans)]
    assert len(problems) == 1
    assert f"the {word} data is cut short" in problems[0]
    assert "byte" in problems[0] or "line" in problems[0]


def test_a_gzip_of_half_a_file_still_gives_spans(tmp_path: Path) -> None:
    lines = noisy_lines(400)
    packed = build.gz(lines)
    spans, problems = read(tmp_path, packed[: len(packed) // 2])
    assert 150 < len(spans) < 250
    assert len(problems) == 1


def test_damaged_packing_is_told_with_its_place(tmp_path: Path) -> None:
    lines = noisy_lines(400)
    packed = bytearray(build.gz(lines))
    packed[len(packed) // 2 : len(packed) // 2 + 40] = b"\xff" * 40
    spans, problems = read(tmp_path, bytes(packed))
    assert 150 < len(spans) < 250
    assert any("gzip data is damaged" in problem for problem in problems)


def test_bytes_after_the_packed_data_are_told_of_and_padding_is_not(tmp_path: Path) -> None:
    assert read(tmp_path, build.gz(JSON) + b"\0" * 100) == ([1, 2, 3, 4, 5], [])
    spans, problems = read(tmp_path, build.gz(JSON) + b"rubbish")
    assert len(spans) == 5
    assert "after the end of the gzip data" in problems[0]


@pytest.mark.parametrize("pack", [build.gz, build.zst])
def test_a_compression_bomb_is_stopped_and_said_to_be_one(tmp_path: Path, pack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "RATIO_FREE_BYTES", 4 << 20)
    bomb = LINES + b" " * (64 << 20) + b"\n" + LINES
    path = build.save(tmp_path / "bomb", pack(bomb))
    found = read_files([path])
    assert len(list(found)) == 7
    (problem,) = found.problems
    assert "250 times its packed size" in str(problem)
    assert "unpack it yourself" in str(problem)


def test_a_bomb_inside_one_frame_is_stopped_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "RATIO_FREE_BYTES", 4 << 20)
    spans, problems = read(tmp_path, build.framed(build.zst(PROTOBUF), build.zst(b"\0" * (64 << 20)), build.zst(PROTOBUF)))
    assert spans == [1, 2, 3, 4, 5, 1, 2, 3, 4, 5]
    assert "250 times" in problems[0]


def test_a_zstd_window_beyond_reason_is_refused(tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=31, enable_ldm=True)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = packer.compress(LINES) + packer.flush()
    spans, problems = read(tmp_path, packed)
    assert spans == []
    assert len(problems) == 1


def test_a_bad_line_costs_only_itself(tmp_path: Path) -> None:
    good = build.to_json(MORE)
    spans, problems = read(tmp_path, b"\n".join([good, JSON[: len(JSON) * 3 // 4], b"oops", good, b'{"resourceSpans": 5}', good]))
    assert spans == [6, 7, 1, 2, 3, 6, 7, 6, 7]
    assert [problem.split(": ")[1] for problem in problems] == ["line 2", "line 3", "line 5"]


def test_a_first_line_that_is_bad_does_not_hide_the_others(tmp_path: Path) -> None:
    spans, problems = read(tmp_path, JSON[:-30] + b"\n" + LINES)
    assert spans[-7:] == [1, 2, 3, 4, 5, 6, 7]
    assert "line 1" in problems[0]


def test_a_line_too_long_to_be_held_is_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LINE_BYTES_MAX", 20_000)
    monkeypatch.setattr(sources, "BLOCK_BYTES", 6_000)
    long = build.to_json(build.request(*(build.chat(n) for n in range(1, 100))))
    assert len(long) > 20_000
    spans, problems = read(tmp_path, LINES + long + b"\n" + LINES)
    assert spans == [*range(1, 8), *range(1, 100), *range(1, 8)]
    assert problems == []
    spans, problems = read(tmp_path, long + b"\n" + LINES)
    assert spans == [*range(1, 100), *range(1, 8)]
    spans, problems = read(tmp_path, long)
    assert (spans, problems) == ([*range(1, 100)], [])


def test_one_kind_of_problem_is_one_line_with_a_count(tmp_path: Path) -> None:
    odd = build.request(*(build.span(n, endTimeUnixNano="1") for n in range(1, 51)))
    spans, problems = read(tmp_path, b"\n".join([JSON, build.to_json(odd), build.to_json(odd)]))
    assert len(spans) == 105
    assert len(problems) == 1
    assert problems[0].startswith(f"{tmp_path / 'trace'}: line 2: a span ends before it starts")
    assert problems[0].endswith("(99 more like it)")


def test_a_cut_frame_keeps_the_frames_before_it(tmp_path: Path) -> None:
    data = build.framed(PROTOBUF, build.to_protobuf(MORE))
    spans, problems = read(tmp_path, data[:-40])
    assert spans[:6] == [1, 2, 3, 4, 5, 6]
    assert "ends in the middle" in problems[0]
    spans, problems = read(tmp_path, data[: len(PROTOBUF) + 6])
    assert spans == [1, 2, 3, 4, 5]
    assert len(problems) == 1
