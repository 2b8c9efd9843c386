"""The figures of a benchmark as Markdown and plain lines."""

from __future__ import annotations

from typing import Any

import goals
import startup

_UNITS = {"instructions": ("thousand instructions", 1e-3), "cpu": ("microseconds of CPU time", 1.0)}


def everything(found: dict[str, Any], start: dict[str, Any], kinds: list[str]) -> str:
    """All tables: speed by each kind and suite, memory, start, versions."""
    parts = [speed(suite, names, kind) for kind in kinds for suite, names in found.items()]
    parts += [memory(found.get("langchain", {})), startup.text(start)]
    parts += [versions(suite, names) for suite, names in found.items()]
    return "\n\n".join(part for part in parts if part)


def speed(suite: str, names: dict[str, Any], kind: str) -> str:
    """Added per unit of work; in brackets the ratio to the floor, or to costspan where there is no floor."""
    unit, scale = _UNITS[kind]
    base = "floor" if "floor" in names else "costspan"
    shown = goals.WORKLOADS[suite]
    unit_spans = "pipeline" if "pipeline" in shown else "create"
    lines = [
        f"{suite}: added per unit of work in {unit}, and in brackets the ratio to {base}",
        "",
        f"| | {' | '.join(shown)} | a chunk | spans per {unit_spans} |",
        "|---" * (len(shown) + 3) + "|",
    ]
    without = names["none"][kind]
    cells = [f"{without[each]['off'] * scale:,.0f}" if each in without else "" for each in shown]
    lines.append(f"| without | {' | '.join(cells)} | | |")
    for name, result in names.items():
        if kind not in result:
            continue
        cells = []
        for each in shown:
            if each not in result[kind]:
                cells.append("")
                continue
            more, of = goals.added(result[kind], each), goals.added(names[base][kind], each)
            cells.append(f"{more * scale:,.0f} ({more / of:.2f})" if of > 0 else f"{more * scale:,.0f}")
        chunk = f"{goals.chunk(result[kind]) * scale:,.2f}" if "stream_long" in result[kind] else ""
        lines.append(f"| {name} | {' | '.join(cells)} | {chunk} | {result[kind][unit_spans]['spans']:.0f} |")
    return "\n".join(lines)


def memory(names: dict[str, Any]) -> str:
    lines = ["memory: size after two counts of calls; objects gained per call; spans ended of those opened"]
    for name, result in names.items():
        if "memory" in result:
            (small, large), (first, last) = result["memory"]["resident"]["calls"], result["memory"]["resident"]["bytes"]
            lines.append(f"{name}: {small:,} calls {first / 2**20:.2f} MiB, {large:,} calls {last / 2**20:.2f} MiB")
            for leak, one in result["memory"]["leaks"].items():
                lines.append(f"  {leak:13}{one['objects']:+.2f} objects a call, {one['ended']} of {one['opened']} spans ended")
    return "\n".join(lines) if len(lines) > 1 else ""


def versions(suite: str, names: dict[str, Any]) -> str:
    lines = []
    for name, result in names.items():
        told = ", ".join(f"{package} {version}" for package, version in result["versions"].items())
        lines.append(f"{suite}, {name}: {told}")
    return "\n".join(lines)
