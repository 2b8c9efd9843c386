"""What an alert is made of, and the pieces of text that all of them share: dollars, the top agents, where to look.

The text of an alert is a template that Prometheus fills in when it fires; queries in it read recorded series only, so that an
alert costs next to nothing while it is firing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from costspan import conventions as names

if TYPE_CHECKING:
    from collections.abc import Mapping

CRITICAL: Final = "critical"
WARNING: Final = "warning"
INFO: Final = "info"
NONE: Final = "none"

_PLACE: Final = re.compile(r"<([^<>]+)>")
_VALUES: Final = {
    "$": '${{ $value | printf "%.2f" }}',
    "$4": '${{ $value | printf "%.4f" }}',
    "%": "{{ $value | humanizePercentage }}",
    "n": '{{ $value | printf "%.0f" }}',
}
_SUMS: Final = {"usd": "sum({})", "usd-max": "max({})", "usd-day": "sum(sum_over_time({}[1d]))"}


@dataclass(frozen=True, slots=True)
class Scope:
    """What an alert speaks of: the labels it has, and how the agents and the runs of just that are found."""

    labels: tuple[str, ...]
    agent_series: str = names.AGENT_COST_LAST_HOUR
    run_labels: tuple[str, ...] | None = None

    def matched(self, series: str, labels: tuple[str, ...] | None = None) -> tuple[str, str]:
        """A selector with a placeholder per label, and the template arguments that fill them."""
        used = self.labels if labels is None else labels
        inside = ", ".join(f"{label}=%q" for label in used)
        return (f"{series}{{{inside}}}" if inside else series), " ".join(f"$labels.{label}" for label in used)


WORKFLOW: Final = Scope(("job", "environment", "workflow"))
AGENT: Final = Scope(("job", "environment", "agent"), run_labels=("job", "environment"))
JOB: Final = Scope(("job", "environment"))
BUDGET: Final = Scope(("budget",), names.BUDGET_AGENT_COST_LAST_HOUR, run_labels=())
EVERYTHING: Final = Scope(())


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule. `summary` is the line that a phone shows, written as `fill` reads it; the top agents follow it."""

    name: str
    severity: str
    category: str
    scope: Scope
    expr: str
    summary: str
    for_: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    debug_url: str | None = None

    def rule(self, runbook_url: str) -> dict[str, object]:
        """The rule as Prometheus reads it."""
        rule: dict[str, object] = {"alert": self.name, "expr": self.expr}
        if self.for_:
            rule["for"] = str(self.for_)
        rule["labels"] = {"severity": self.severity, "category": self.category, **self.labels}
        rule["annotations"] = {
            "summary": f"{fill(self.summary, self.scope)} Top agents of the last hour: {top_agents(self.scope)}.",
            "runbook_url": f"{runbook_url}#{self.name.lower()}",
            "debug_url": self.debug_url or runs_url(self.scope),
        }
        return rule


def fill(text: str, scope: Scope) -> str:
    """A summary as Prometheus' template.

    `<$>` is the alert's value in dollars (`<$4>` with four decimals), `<%>` as a share, `<n>` as a count; `<usd SERIES>` the sum
    of a recorded series with the alert's labels, in dollars, `<usd-max …>` its maximum, `<usd-day …>` its sum over a day;
    any other `<word>` is the label of that name.
    """

    def place(match: re.Match[str]) -> str:
        word = match[1]
        if word in _VALUES:
            return _VALUES[word]
        kind, _, series = word.partition(" ")
        if not series:
            return f"{{{{ $labels.{word} }}}}"
        selector, arguments = scope.matched(series)
        asked = query(_SUMS[kind].format(selector), arguments)
        return f'{{{{ with {asked} }}}}${{{{ . | first | value | printf "%.2f" }}}}{{{{ else }}}}$0.00{{{{ end }}}}'

    return _PLACE.sub(place, text)


def query(promql: str, arguments: str = "") -> str:
    """A query inside a template; each `%q` in it takes one of the arguments, quoted."""
    return f"printf `{promql}` {arguments} | query" if arguments else f"query `{promql}`"


def top_agents(scope: Scope) -> str:
    """The three agents that spent most in the last hour, dearest first: `planner $8.10, writer $3.20`."""
    selector, arguments = scope.matched(scope.agent_series)
    asked = query(f"sort_desc(topk(3, sum by (agent) ({selector}) > 0))", arguments)
    return (
        f"{{{{ range $i, $agent := {asked} }}}}{{{{ if $i }}}}, {{{{ end }}}}"
        '{{ or $agent.Labels.agent "unattributed" }} ${{ $agent.Value | printf "%.2f" }}{{ else }}none spent{{ end }}'
    )


def runs_url(scope: Scope) -> str:
    """The page of active runs of the process whose dearest run costs most; Prometheus' targets when no process is known."""
    used = scope.labels if scope.run_labels is None else scope.run_labels
    runs, arguments = scope.matched(names.ACTIVE_RUN_COST_USD_MAX, used)
    found = f"topk(1, {runs})"
    if "workflow" not in used:
        process, _ = scope.matched(names.BUILD_INFO, used)
        found, arguments = f"{found} or topk(1, {process})", f"{arguments} {arguments}".strip()
    return (
        f"{{{{ with {query(found, arguments)} }}}}{{{{ with first . }}}}http://{{{{ .Labels.instance }}}}/debug/runs{{{{ end }}}}"
        "{{ else }}{{ $externalURL }}/targets{{ end }}"
    )


THIS_PROCESS: Final = "http://{{ $labels.instance }}/debug/runs"
"""For alerts that carry the instance themselves."""
