"""The pictures of the manual: `python tests/page_pictures.py docs/pictures`. Demo runs of a month, and a recorded trace or two."""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from costspan.demo.play import play
from costspan.history.books import Entry
from costspan.history.database import Database
from costspan.history.store import Store
from costspan.report import html
from page_server import Served, recorded, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from costspan.records import Run

DAY_NS = 86_400 * 10**9
SEEDS = range(1, 11)
WORKFLOWS = ("release-notes", "bug-triage", "weekly-report")
BUDGETS = """version: 1
budgets:
  - {name: whole-team, day_usd: 0.25, month_usd: 5}
  - {name: triage, match: {workflow: bug-triage}, month_usd: 0.8}
"""


def moved(run: Run, to_ns: int, name: str, workflow: str) -> Run:
    """The run under another id and name, at another time."""
    by = to_ns - run.started_ns
    calls = tuple(
        replace(call, started_ns=call.started_ns + by, ended_ns=call.ended_ns + by, owner=call.owner._replace(workflow=workflow))
        for call in run.calls
    )
    steps = tuple(replace(step, started_ns=step.started_ns + by, ended_ns=step.ended_ns + by) for step in run.steps)
    at = {"started_ns": run.started_ns + by, "ended_ns": run.ended_ns + by}
    return replace(run, id=name, workflow=workflow, trace_ids=(f"{abs(hash(name)):032x}"[-32:],), calls=calls, steps=steps, **at)


def month(runs: list[Run], now_ns: int) -> Iterator[Entry]:
    """Some runs on most days, more of them lately."""
    draw = random.Random(11)
    for day in range(30, -1, -1):
        for place in range(max(0, round(draw.gauss(7 - day / 8, 2.5)))):
            workflow = draw.choices(WORKFLOWS, (5, 3, 1))[0]
            at_ns = now_ns - day * DAY_NS - draw.randrange(60, 7_000 if day == 0 else 40_000) * 10**9
            yield Entry(moved(draw.choice(runs), at_ns, f"{draw.getrandbits(64):016x}{place:02x}", workflow), service="desk")


def take(served: Served, file: Path, folder: Path) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, url, scheme, width in (
            ("overview", served.page, "light", 1200),
            ("overview-dark", served.page, "dark", 1200),
            ("runs", f"{served.page}/runs", "light", 1200),
            ("models", f"{served.page}/models", "light", 1200),
            ("run-light", file.as_uri(), "light", 1200),
            ("run-dark", file.as_uri(), "dark", 1200),
            ("run-narrow", file.as_uri(), "light", 380),
            ("timeline", f"{file.as_uri()}#r0-timeline", "light", 1200),
            ("call", f"{file.as_uri()}#r0-call-4", "light", 1200),
            ("compare", f"{served.page}/runs", "light", 1200),
        ):
            page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})
            page.goto(url)
            if name in ("run-light", "run-narrow"):
                page.locator("details.agent summary").nth(1).click()
            if name == "compare":
                for box in page.get_by_role("checkbox").all()[:2]:
                    box.check()
                page.get_by_role("button", name="Compare the two ticked").click()
                page.get_by_role("table", name="The whole run").wait_for()
            page.wait_for_timeout(300)
            page.screenshot(path=str(folder / f"{name}.png"), full_page=name.startswith("overview"))
            page.close()
        browser.close()


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        runs = [play(seed=seed, record_dir=work).run for seed in SEEDS]
        file = html.write([replace(runs[2], workflow=WORKFLOWS[0])], work / "run.html")
        database = Database(work / "history.db")
        Store(database).save(list(month(runs, time.time_ns())))
        database.close()
        (work / "budgets.yaml").write_text(BUDGETS)
        with serving(work / "history.db", COSTSPAN_BUDGETS=str(work / "budgets.yaml")) as served:
            served.send(recorded("google-adk__pipeline_openai", days_ago=1.3))
            served.send(recorded("official-langchain__pipeline_openai_stream_nousage", days_ago=2.1, salt=2))
            served.settled(2)
            take(served, file, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
