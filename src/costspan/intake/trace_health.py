"""What `doctor` says of trace files: how good their numbers are, and what mends them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from costspan.intake.report_files import Report
    from costspan.records import Call


class Finding(NamedTuple):
    """`topic` is one word to filter by; `text` what is so, `mend` the exact line or step that changes it, if any."""

    topic: str
    text: str
    mend: str = ""


@dataclass(slots=True)
class TraceHealth:
    """How good the numbers of some trace files are, in calls.

    `scopes`: who told of them. `missing` by (reason, scope, provider, model), `unpriced` by (provider, model, reason),
    `odd` by (problem, scope), `estimated` by estimator; `unattributed` have no agent.
    """

    report: Report
    scopes: Counter[str] = field(default_factory=Counter)
    missing: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    unpriced: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    odd: Counter[tuple[str, str]] = field(default_factory=Counter)
    estimated: Counter[str] = field(default_factory=Counter)
    unattributed: int = 0
    findings: tuple[Finding, ...] = ()

    def see(self, call: Call) -> None:
        """Take note of one call."""
        for scope in {call.scope, *(item.scope for item in call.duplicates)}:
            self.scopes[scope] += 1
        for problem in call.problems:
            self.odd[problem, call.scope] += 1
        if call.cache_hit:
            return
        model = call.response_model or call.request_model or call.model or "(unnamed model)"
        self.unattributed += call.owner.agent is None
        if call.missing_reason is not None and not call.refused:
            self.missing[call.missing_reason, call.scope, call.provider or "", model] += 1
        if call.unpriced is not None and call.cost is None:
            self.unpriced[call.provider or "", model, call.unpriced.reason] += 1
        if call.estimator is not None:
            self.estimated[call.estimator] += 1
