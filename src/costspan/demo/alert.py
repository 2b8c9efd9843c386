"""`make alert-demo`: agents in a loop, a spend spike, and the page that a real Prometheus and Alertmanager send.

Two workers run the demo's agents, each with a budget; one of them gets a spike, the other is its silent twin. Two
Prometheus servers scrape both: one has rules for the budgets, the other the rules that work with no budget file at all. Both send
to one Alertmanager, and that to a webhook in this process. Intervals are a second where a deployment has a minute.
Everything listens on loopback, nothing is left running.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from costspan.budgets import limits as budget_file
from costspan.demo import play
from costspan.demo.alert_worker import Worker
from costspan.demo.monitoring import Alertmanager, Notice, Prometheus, Target, Webhook
from costspan.errors import CostspanError
from costspan.generate import rules, thresholds
from costspan.generate.thresholds import Duration
from costspan.price.book import PriceBook

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BUDGETS: Final = """version: 1
budgets:
  - {name: agents, match: {job: agents}, day_usd: 1}
  - {name: twin, match: {job: twin}, day_usd: 1}
"""
WITH_BUDGETS: Final = "budgets"
WITHOUT: Final = "no budget file"
_DOLLARS: Final = re.compile(r"\$([\d,]+\.\d\d)")
_CALM_SECONDS: Final = 8.0
_QUIET_SECONDS: Final = 4.0
_CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Page:
    """One page of the demo: which rules sent it, what it says, how long it took, and the dollars that the log proves."""

    rules: str
    notice: Notice
    seconds: float
    dollars: Decimal
    billed: Decimal

    @property
    def right(self) -> bool:
        """Right to the cent."""
        return self.dollars == self.billed.quantize(_CENT)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo came to. `early` are pages before the spike, `twin` pages about the worker without one."""

    pages: tuple[Page, ...]
    today: Decimal
    billed: Decimal
    early: tuple[Notice, ...]
    twin: tuple[Notice, ...]

    @property
    def good(self) -> bool:
        right = all(page.right for page in self.pages) and self.today == self.billed.quantize(_CENT)
        return right and not self.early and not self.twin


def run(directory: Path, *, timeout_seconds: float = 90.0, say: Callable[[str], None] = print) -> Outcome:
    """Play it through. Raises CostspanError when something is not installed or a page does not arrive in time."""
    play.require()
    knobs = short(thresholds.read())
    with ExitStack() as stack:
        say("Starting two workers, Prometheus, Alertmanager and a webhook on loopback …")
        spiky = stack.enter_context(Worker(directory, "agents", seed=1))
        twin = stack.enter_context(Worker(directory, "twin", seed=2))
        webhook = stack.enter_context(Webhook())
        manager = stack.enter_context(Alertmanager(directory / "alertmanager", webhook_url=webhook.url))
        targets = (Target(spiky.port, "agents"), Target(twin.port, "twin"))
        servers = [
            stack.enter_context(
                Prometheus(
                    directory / f"prometheus-{number}",
                    rules=rules.render(knobs, limits),
                    targets=targets,
                    alertmanager_port=manager.port,
                    external_labels={"rules": kind},
                )
            )
            for number, (kind, limits) in enumerate(((WITH_BUDGETS, budget_file.parse(BUDGETS)), (WITHOUT, ())), 1)
        ]
        return _story(spiky, twin, webhook, servers, timeout_seconds, say)


def short(knobs: thresholds.Thresholds) -> thresholds.Thresholds:
    """The same rules with seconds where a deployment has minutes; limits in dollars stay as they are."""
    second = Duration("1s")
    return replace(
        knobs,
        rules=replace(knobs.rules, interval=second, quality_interval=Duration("5s")),
        workflow_spend=replace(knobs.workflow_spend, for_=Duration("3s")),
        budget=replace(knobs.budget, none_set_for=second, burn_fast_for=second, burn_slow_for=second),
    )


def _story(
    spiky: Worker, twin: Worker, webhook: Webhook, servers: Sequence[Prometheus], timeout: float, say: Callable[[str], None]
) -> Outcome:
    book = PriceBook()
    spiky.ask("loop")
    twin.ask("loop")
    say("Two workers run the same agents, each with a budget of $1.00 a day.")
    time.sleep(_CALM_SECONDS)
    early = tuple(notice for notice in webhook.notices if _is_page(notice))
    say(f"Calm: ${spiky.billed(book):.2f} and ${twin.billed(book):.2f} spent by the provider's log, {len(early)} pages.")
    since = int(spiky.ask("spike")["since"])
    started = time.time()
    say("Spike: somebody gave one agent the dearest model and the whole repository; its run is still going.")
    wanted = [
        (WITH_BUDGETS, "CostspanDailyBudgetExceeded", 0),
        (WITH_BUDGETS, "CostspanRunawayRun", since),
        (WITHOUT, "CostspanRunawayRun", since),
        (WITHOUT, "CostspanWorkflowSpendHigh", None),
    ]
    pages = []
    for kind, name, first in wanted:
        notice = _arrived(webhook, kind, name, started + timeout)
        pages.append(_page(notice, kind, started, spiky.billed(book, since=first or 0), hourly=first is None))
        _tell(pages[-1], say)
    time.sleep(_QUIET_SECONDS)  # a late page about the twin would arrive now
    about_twin = tuple(n for n in webhook.notices if _is_page(n) and "twin" in (n.labels.get("job"), n.labels.get("budget")))
    today = servers[0].value('sum(workflow:costspan_cost_usd:today{job="agents"})') or 0.0
    outcome = Outcome(tuple(pages), Decimal(f"{today:.2f}"), spiky.billed(book), early, about_twin)
    say(f"Prometheus' day: ${outcome.today}   provider's log: ${outcome.billed:.2f}")
    say(f"The twin without a spike (${twin.billed(book):.2f}): {len(about_twin)} pages.")
    return outcome


def _arrived(webhook: Webhook, kind: str, name: str, until: float) -> Notice:
    def fits(notice: Notice) -> bool:
        return notice.name == name and notice.labels.get("rules") == kind

    notice = webhook.wait_for(fits, max(0.0, until - time.time()))
    if notice is None:
        arrived = ", ".join(sorted({found.name for found in webhook.notices})) or "nothing"
        message = f"{name} ({kind}) did not arrive; what arrived: {arrived}"
        raise CostspanError(message)
    return notice


def _page(notice: Notice, kind: str, started: float, billed: Decimal, *, hourly: bool) -> Page:
    """An hourly rate is the ten minutes' dollars times six, and all of the demo lies within ten minutes."""
    found = _DOLLARS.search(notice.summary)
    dollars = Decimal(found[1].replace(",", "")) if found else Decimal(-1)
    return Page(kind, notice, notice.arrived_at - started, dollars, billed * 6 if hourly else billed)


def _is_page(notice: Notice) -> bool:
    return notice.labels.get("severity") in ("critical", "warning")


def _tell(page: Page, say: Callable[[str], None]) -> None:
    verdict = "equal" if page.right else "DIFFERENT"
    say("")
    say(f"  {page.notice.labels['severity'].upper()} after {page.seconds:.1f} s, {page.rules}: {page.notice.name}")
    say(f"  {page.notice.summary}")
    say(f"  runs: {page.notice.annotations.get('debug_url', '')}")
    say(f"  page ${page.dollars}   provider's log ${page.billed:.2f}   {verdict}")
    say("")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: exit code 0 when every page arrived with the right dollars and the twin stayed silent."""
    parser = argparse.ArgumentParser(
        prog="python -m costspan.demo.alert", description="A spend spike, and the page that it sends."
    )
    parser.add_argument("--timeout", type=float, default=90.0, help="seconds to wait for the pages (default 90)")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="costspan-alert-demo-") as directory:
            outcome = run(Path(directory), timeout_seconds=given.timeout, say=lambda line: print(line, flush=True))  # noqa: T201
    except CostspanError as error:
        sys.stderr.write(f"costspan: {error}\n")
        return 2
    verdict = "all pages arrived, right to the cent" if outcome.good else "NOT as it should be, see above"
    print(f"{verdict}; {time.monotonic() - began:.0f} s, everything is stopped again.")  # noqa: T201
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
