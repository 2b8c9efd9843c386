"""The summary of a run for people: plain ASCII text, in colour on a terminal that has it.

`render` never prints. Every line fits the width; names are cleaned and shortened; many steps are folded. A number that
is only partly known ends in `+?`, one that holds estimates starts with `~`, an unknown one is `?`.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import IO, TYPE_CHECKING, Final

from costspan.report import evidence
from costspan.report.figures import UNKNOWN, lasted, many, percent, ratio, seconds, tokens
from costspan.report.marks import known_cost, known_tokens, of_agents, of_tool, rate, rough, side, tilde, together
from costspan.report.names import clean, fit, left, right, width, wrap

if TYPE_CHECKING:
    from costspan.records import Run, Step, Totals

WIDTH_MIN: Final = 60
STEPS_SHOWN: Final = 24
"""A log of more steps shows half as many from each end."""
ROWS_SHOWN: Final = 40
"""Agents, tools or models that are listed; the rest is one line."""
_OUTCOME_MAX: Final = 12
_NAME_MIN: Final = 16
"""Columns of the run's name beside its outcome; with fewer left it has a line of its own."""
_UNATTRIBUTED: Final = "(unattributed)"
_HELD: Final = "\ue000"
"""Stands for a space at which no line is broken; for private use, and as wide as the space."""

_TITLE, _PLAIN, _COST, _WARN, _DIM = "bold", "", "green", "yellow", "dim"
_Line = tuple[str, str]
_Row = Sequence[str]


def render(run: Run, *, width: int = 80, color: bool = False, ascii_only: bool = True) -> str:
    """The summary as text, ending in a newline; no line is wider than `width` (at least 60) columns.

    With `color` it holds ANSI escapes. With `ascii_only` characters beyond ASCII in names are escaped.
    """
    lines = _lines(run, _Page(max(width, WIDTH_MIN), ascii_only=ascii_only))
    if not color:
        return "".join(f"{text}\n" for text, _ in lines)
    from io import StringIO

    out = StringIO()
    _print_rich(lines, out, force=True)
    return out.getvalue()


def print_summary(run: Run, stream: IO[str] | None = None, *, record: str | None = None) -> None:
    """Print the summary to `stream` (standard error when None), with the path of the `record` where one was written.

    Colours, and characters beyond ASCII, only on a terminal that takes them; NO_COLOR and TERM=dumb are respected.
    """
    out = sys.stderr if stream is None else stream
    page = _page_for(out)
    lines = _lines(run, page)
    if record is not None:
        lines.append((f"record {page.name(record)}", _DIM))
    _write(lines, out)


def print_outside(calls: Run, stream: IO[str] | None = None) -> None:
    """Print what the calls outside of any run cost, by model, as `print_summary` does. `calls` is `account.outside`'s sum."""
    out = sys.stderr if stream is None else stream
    page = _page_for(out)
    page.add(f"costspan: {evidence.outside(calls.totals)}", _TITLE)
    page.add("")
    page.add("models (input + output = total tokens)", _TITLE)
    shown = calls.models[:ROWS_SHOWN]
    page.sums([(page.name(model.model or "(no model)"), *_sum_cells(model.totals)) for model in shown], calls.totals)
    if len(calls.models) > ROWS_SHOWN:
        page.wrapped(_more("more model", [model.totals for model in calls.models[ROWS_SHOWN:]]), _DIM)
    page.evidence(calls)
    page.wrapped(f"hint: {evidence.NAME_A_RUN}", _DIM)
    _write(page.lines, out)


def _page_for(out: IO[str]) -> _Page:
    terminal = _is_terminal(out)
    return _Page(_columns() if terminal else 80, ascii_only=not (terminal and _speaks_unicode(out)))


def _write(lines: list[_Line], out: IO[str]) -> None:
    terminal = _is_terminal(out)
    if terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb":
        _print_rich(lines, out, force=False)
    else:
        out.write("".join(f"{text}\n" for text, _ in lines))
    out.flush()


def _lines(run: Run, page: _Page) -> list[_Line]:
    page.header(run)
    page.agents(run)
    page.ratios(run)
    page.models(run)
    page.tools(run)
    page.steps(run)
    page.evidence(run)
    return page.lines


class _Page:
    """The lines of one summary in the making."""

    def __init__(self, columns: int, *, ascii_only: bool) -> None:
        self.columns = columns
        self.ascii_only = ascii_only
        self.lines: list[_Line] = []

    def name(self, name: str | None) -> str:
        return clean(name, ascii_only=self.ascii_only)

    def brief(self, name: str | None) -> str:
        """A name inside a sentence: long enough for any model's, not for a page of escapes."""
        return fit(self.name(name), evidence.NAME_COLUMNS)

    def add(self, text: str, style: str = _PLAIN) -> None:
        self.lines.append((text.rstrip(), style))

    def whole(self, row: str) -> str:
        """A row of figures. A narrow terminal breaks it, which is ugly; a figure without its head would be wrong."""
        return fit(row, max(self.columns, WIDTH_MIN))

    def wrapped(self, text: str, style: str = _PLAIN, indent: str = "  ") -> None:
        """A sentence over as many lines as it needs."""
        for line in wrap(text, self.columns, indent):
            self.add(line, style)

    def listed(self, parts: Iterable[str], head: str = "") -> None:
        """Parts of a sentence over as many lines as they need; no figure stands on another line than what it is of."""
        room = len(self.lines)
        self.wrapped(head + ", ".join(part.replace(" ", _HELD) for part in parts))
        self.lines[room:] = [(text.replace(_HELD, " "), style) for text, style in self.lines[room:]]

    def advice(self, text: str) -> None:
        """What is wrong, and on a line of its own, to be copied, what mends it."""
        what, _, mend = text.partition(evidence.MEND)
        self.wrapped(what, _WARN)
        if mend:
            self.wrapped(f"  mend: {mend}", _WARN, indent="    ")

    def header(self, run: Run) -> None:
        outcome = fit(self.name(run.outcome), _OUTCOME_MAX)
        facts = [outcome, many(run.totals.calls, "call")]
        if run.started_ns and run.ended_ns:
            facts.insert(1, seconds(run.duration_seconds))
        if run.totals.errors:
            facts.append(many(run.totals.errors, "error"))
        if run.totals.cache_hits:
            facts.append(many(run.totals.cache_hits, "cached answer"))
        tail = ", ".join(facts)
        name = self.name(run.workflow or "run")
        room = self.columns - width(tail) - len("costspan: ") - 2
        if room >= min(width(name), _NAME_MIN):
            self.add(f"costspan: {fit(name, room)}  {tail}", _TITLE)
        else:
            self.add(f"costspan: {fit(name, self.columns - len('costspan: '))}", _TITLE)
            self.wrapped(f"  {tail}", _TITLE)

    def agents(self, run: Run) -> None:
        if not run.totals.calls and not run.agents:
            return
        shown = run.agents[:ROWS_SHOWN]
        rows = [(self.name(agent.name), *_sum_cells(agent.self_totals)) for agent in shown]
        below = [self._subtree(agent.subtree) if agent.subtree.calls > agent.self_totals.calls else None for agent in shown]
        if run.unattributed.calls:
            rows.append((_UNATTRIBUTED, *_sum_cells(run.unattributed)))
        rows.append(("total", *_sum_cells(run.totals)))
        sizes = _sum_sizes(rows, self.columns)
        self.add("")
        self.add("agents (input + output = total tokens)", _TITLE)
        for place, row in enumerate(rows):
            self.add(self.whole(_sum_line(row, sizes)), _COST if row[0] == "total" and place == len(rows) - 1 else _PLAIN)
            if place < len(below) and (more := below[place]):
                self.wrapped(more, _DIM, indent="    ")
            if place == len(shown) - 1 and len(run.agents) > ROWS_SHOWN:
                self.wrapped(_more("more agent", [agent.self_totals for agent in run.agents[ROWS_SHOWN:]]), _DIM, indent="    ")

    def sums(self, rows: list[_Row], totals: Totals) -> None:
        """One line for each row, and one for what they add up to."""
        rows = [*rows, ("total", *_sum_cells(totals))]
        sizes = _sum_sizes(rows, self.columns)
        for place, row in enumerate(rows):
            self.add(self.whole(_sum_line(row, sizes)), _COST if place == len(rows) - 1 else _PLAIN)

    def _subtree(self, totals: Totals) -> str:
        return f"    with the agents it called: {known_tokens(totals)} tokens ({known_cost(totals)})"

    def ratios(self, run: Run) -> None:
        of = run.efficiency
        if not run.totals.calls:
            return
        guess = tilde(run.totals.coverage)
        most = f" ({self.brief(of.max_agent)})" if of.max_agent else ""
        self.add("")
        self.wrapped(
            f"per agent: average {of_agents(tokens(of.average_tokens_per_agent, 2), run.agents, run.totals)} tokens, "
            f"most {of_agents(tokens(of.max_agent_tokens), run.agents, run.totals)}{most}"
        )
        cached = None if of.cache_hit_ratio is None else of.cache_hit_ratio * 100
        self.listed(
            (
                f"context window peak {percent(of.context_window_peak_percent)}",
                f"input/output {ratio(of.input_output_ratio)}",
                f"cache-hit ratio {percent(cached, 1)}",
                f"{rough(tokens(of.output_tokens_per_second, 1), guess)} output tokens/s",
            )
        )

    def models(self, run: Run) -> None:
        if len(run.models) < 2:
            return
        names = Counter(model.model for model in run.models)
        parts = []
        for model in run.models[:ROWS_SHOWN]:
            name = self.brief(model.model)
            whose = f"{self.brief(model.provider)}/{name}" if names[model.model] > 1 and model.provider else name
            parts.append(f"{whose} {known_tokens(model.totals)} ({known_cost(model.totals)})")
        if len(run.models) > ROWS_SHOWN:
            parts.append(_more("more model", [model.totals for model in run.models[ROWS_SHOWN:]]).lstrip(" ."))
        self.listed(parts, "models: ")

    def tools(self, run: Run) -> None:
        if not run.tools:
            return
        rows: list[_Row] = [("tools", "calls", "errors", "tokens", "per call", "time")]
        for tool in run.tools[:ROWS_SHOWN]:
            guess, partly = of_tool(tool, run.totals), tool.nested.coverage.missing_calls > 0
            known = [part for part in (tool.nested.usage.total_tokens, tool.result_tokens) if part is not None]
            rows.append(
                (
                    self.name(tool.name),
                    tokens(tool.calls),
                    tokens(tool.errors),
                    rough(tokens(sum(known)), guess, partly=partly) if known else UNKNOWN,
                    rough(tokens(tool.tokens_per_call, 1), guess, partly=partly) if known else UNKNOWN,
                    seconds(tool.duration_seconds),
                )
            )
        self.table(rows, texts=1)
        if len(run.tools) > ROWS_SHOWN:
            self.add(f"  .. {many(len(run.tools) - ROWS_SHOWN, 'more tool')}", _DIM)

    def steps(self, run: Run) -> None:
        if not run.steps:
            return
        shown, folded = _folded(run.steps)
        rows: list[_Row] = [("steps", "agent", "step", "tokens", "duration", "tokens/s")]
        for step in shown:
            mark = {"ok": "", "error": " !", "cancelled": " x"}.get(step.outcome, "")
            rows.append(
                (
                    f"{step.index}{mark}",
                    self.name(step.agent) if step.agent else "-",
                    self.name(step.name),
                    known_tokens(step.totals),
                    lasted(step.started_ns, step.ended_ns),
                    rate(step),
                )
            )
        at = len(shown) // 2 + 1 if folded else None
        self.table(rows, texts=3, fold=(at, _fold_line(folded)) if at else None)

    def table(self, rows: list[_Row], *, texts: int, fold: tuple[int, str] | None = None) -> None:
        """Columns of which the first `texts` are text; the first row is the heading."""
        sizes = [max(width(row[place]) for row in rows) for place in range(len(rows[0]))]
        room = self.columns - sum(sizes[texts:]) - 2 * (len(sizes) - 1)
        _shrink(sizes, texts, room, least=1 if self.columns >= WIDTH_MIN else 4)
        self.add("")
        for place, row in enumerate(rows):
            if fold and place == fold[0]:
                self.wrapped(fold[1], _DIM)
            cells = [left(fit(text, sizes[at]), sizes[at]) for at, text in enumerate(row[:texts])]
            cells += [right(text, sizes[at]) for at, text in enumerate(row[texts:], texts)]
            self.add(self.whole("  ".join(cells)), _TITLE if place == 0 else _PLAIN)

    def evidence(self, run: Run) -> None:
        self.add("")
        gaps = evidence.gaps(run, ascii_only=self.ascii_only)
        self.wrapped(evidence.headline(run), _WARN if gaps else _COST)
        for gap in gaps:
            self.advice(f"- {gap}")
        for line in evidence.waste(run, ascii_only=self.ascii_only):
            self.advice(line)
        if nobodys := evidence.unattributed(run):
            self.advice(nobodys)
        for note in run.notes:
            self.wrapped(f"note: {clean(note, ascii_only=self.ascii_only)}", _DIM)


def _sum_cells(totals: Totals) -> tuple[str, str, str, str]:
    usage = totals.usage
    if not totals.calls:
        return "0", "0", "0", "$0"
    return side(usage.input_tokens, totals), side(usage.output_tokens, totals), known_tokens(totals), known_cost(totals)


def _more(what: str, totals: Sequence[Totals]) -> str:
    """What is not listed, so that the lines add up to the total."""
    *_, spent, cost = _sum_cells(together(totals))
    return f"  .. {many(len(totals), what)}: {spent} tokens ({cost})"


def _sum_sizes(rows: Sequence[_Row], columns: int) -> list[int]:
    sizes = [max(width(row[place]) for row in rows) for place in range(5)]
    sizes[0] = max(len("total"), min(sizes[0], columns - sum(sizes[1:]) - 12))
    return sizes


def _sum_line(row: _Row, sizes: list[int]) -> str:
    name, given, made, total, cost = row
    return (
        f"  {left(fit(name, sizes[0]), sizes[0])} {right(given, sizes[1])} + {right(made, sizes[2])}"
        f" = {right(total, sizes[3])} ({cost})"
    )


def _folded(steps: Sequence[Step]) -> tuple[Sequence[Step], Sequence[Step]]:
    if len(steps) <= STEPS_SHOWN:
        return steps, ()
    half = STEPS_SHOWN // 2
    return (*steps[:half], *steps[-half:]), steps[half:-half]


def _fold_line(folded: Sequence[Step]) -> str:
    failed = sum(step.outcome == "error" for step in folded)
    spent = known_tokens(together(step.totals for step in folded))
    tail = f", {failed:,} failed" if failed else ""
    return f".. {many(len(folded), 'more step')}: {spent} tokens, {seconds(sum(step.duration_seconds for step in folded))}{tail}"


def _shrink(sizes: list[int], texts: int, room: int, least: int) -> None:
    """Take from the widest text column until the text columns fit the room, or all have the `least`."""
    while sum(sizes[:texts]) > room and max(sizes[:texts]) > least:
        sizes[sizes.index(max(sizes[:texts]))] -= 1


def _print_rich(lines: list[_Line], out: IO[str], *, force: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    # Text is never parsed as markup, and a generous width keeps rich from wrapping lines that already fit.
    console = Console(file=out, force_terminal=force or None, color_system="standard" if force else "auto", width=1000)
    for text, style in lines:
        console.print(Text(text, style=style), soft_wrap=True, highlight=False)


def _is_terminal(out: IO[str]) -> bool:
    try:
        return bool(out.isatty())
    except (AttributeError, ValueError):
        return False


def _speaks_unicode(out: IO[str]) -> bool:
    return "utf" in (getattr(out, "encoding", None) or "").lower()


def _columns() -> int:
    import shutil

    return min(shutil.get_terminal_size().columns, 100)
