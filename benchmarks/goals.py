"""The goals that costspan promises to keep, and whether a measurement kept them."""

from __future__ import annotations

from typing import Any, NamedTuple

FLOOR_RATIO = 1.2
CHUNK_MICROSECONDS = 1.0
IMPORT_MILLISECONDS = 60.0
PRICE_MICROSECONDS = 2.0
GROWTH_BYTES = 2**20
OBJECTS_PER_CALL = 0.01
CHUNKS = 200
WORKLOADS = {
    "langchain": ("invoke", "pipeline", "stream", "async100", "threads8"),
    "openai": ("create", "stream", "async100"),
    "anthropic": ("create", "stream", "async100"),
}
NO_PEERS = frozenset({"none", "noop", "floor", "floor-lean", "costspan", "costspan-record"})


class Verdict(NamedTuple):
    """One goal: kept or not, and the figures."""

    met: bool
    text: str


def added(result: dict[str, Any], workload: str) -> float:
    """What switching on adds to one unit of work."""
    return float(result[workload]["on"] - result[workload]["off"])


def chunk(result: dict[str, Any]) -> float:
    """What one more chunk of a stream costs with the contender on, less what it costs without."""
    return (added(result, "stream_long") - added(result, "stream")) / CHUNKS


def judge(found: dict[str, Any], start: dict[str, Any], kind: str) -> list[Verdict]:
    """Every goal, measured by `kind` (`instructions` or `cpu`)."""
    verdicts = _floors(found["langchain"], kind) if "langchain" in found else []
    for suite, names in found.items():
        for peer, result in names.items():
            if peer in NO_PEERS or kind not in result:
                continue
            for workload in WORKLOADS[suite]:
                if workload not in result[kind] or workload not in names["costspan"][kind]:
                    continue
                mine, theirs = added(names["costspan"][kind], workload), added(result[kind], workload)
                verdicts.append(Verdict(mine < theirs, f"{suite} {workload}: {mine / theirs:.2f} of {peer}, below 1"))
    verdicts += _start(start)
    if "langchain" in found:
        verdicts += _memory(found["langchain"]["costspan"]["memory"])
    return verdicts


def _floors(names: dict[str, Any], kind: str) -> list[Verdict]:
    ours, floor, noop = names["costspan"][kind], names["floor"][kind], names["noop"][kind]
    verdicts = []
    for workload in ("invoke", "pipeline"):
        ratio = added(ours, workload) / added(floor, workload)
        lean = added(ours, workload) / added(names["floor-lean"][kind], workload)
        text = f"{workload}: {ratio:.2f} of the floor, at most {FLOOR_RATIO} (the lean floor: {lean:.2f})"
        verdicts.append(Verdict(ratio <= FLOOR_RATIO, text))
    more = chunk(ours) - chunk(noop)
    if kind == "instructions":  # to time, by what an instruction took in this machine's own runs without anybody
        more *= names["none"]["cpu"]["stream"]["off"] / names["none"]["instructions"]["stream"]["off"]
    verdicts.append(Verdict(more <= CHUNK_MICROSECONDS, f"a chunk: {more:.2f} us over a do-nothing callback, at most 1"))
    return verdicts


def _start(start: dict[str, Any]) -> list[Verdict]:
    heavy = start["heavy"]
    return [
        Verdict(start["import_ms"] < IMPORT_MILLISECONDS, f"import: {start['import_ms']:.0f} ms over the SDK's, below 60"),
        Verdict(not heavy, f"import pulls in nothing heavy: {', '.join(heavy) or 'nothing'}"),
        Verdict(start["price_us"] < PRICE_MICROSECONDS, f"a warm price: {start['price_us']:.2f} us, below 2"),
    ]


def _memory(memory: dict[str, Any]) -> list[Verdict]:
    (small, large), (first, last) = memory["resident"]["calls"], memory["resident"]["bytes"]
    verdicts = [
        Verdict(last - first < GROWTH_BYTES, f"memory: {(last - first) / 1024:+.0f} KiB from {small:,} to {large:,} calls")
    ]
    for name, leak in memory["leaks"].items():
        held, lost = leak["objects"], leak["opened"] - leak["ended"]
        text = f"{name}: {held:+.2f} objects a call, {lost} spans never ended"
        verdicts.append(Verdict(abs(held) < OBJECTS_PER_CALL and lost == 0, text))
    return verdicts
