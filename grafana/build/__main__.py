"""`python -m grafana.build [--check]`: write the dashboards, or compare them with what is written."""

from __future__ import annotations

import sys
from pathlib import Path

from grafana.build import agents, frame, health, models, overview, runs, tools

HERE = Path(__file__).resolve().parents[1] / "dashboards"


def main(arguments: list[str]) -> int:
    """0 when everything is written (or equal), 1 when `--check` finds a difference, 2 for any other argument."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m grafana.build [--check]", file=sys.stderr)
        return 2
    texts = {f"{module.UID}.json": frame.finish(module.build()) for module in (overview, agents, tools, runs, models, health)}
    stale = {path.name for path in HERE.glob("*.json")} - texts.keys()
    if arguments:
        other = [name for name, text in texts.items() if not _same(HERE / name, text)]
        for name in sorted([*other, *stale]):
            print(f"{HERE / name} is not what grafana/build makes: run python -m grafana.build", file=sys.stderr)
        return 1 if other or stale else 0
    for name in stale:
        (HERE / name).unlink()
    for name, text in texts.items():
        (HERE / name).write_text(text, encoding="utf-8")
        print(HERE / name)
    return 0


def _same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


sys.exit(main(sys.argv[1:]))
