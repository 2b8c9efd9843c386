"""Pictures of a run as inline SVG: no script, no style attributes, colours by class so that light and dark both work.

Text stays outside of the SVG, in HTML, so that a narrow screen shrinks the picture and not the letters.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from costspan.report.figures import dollars, many, percent, seconds, share, tokens
from costspan.report.markup import Html, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from decimal import Decimal

    from costspan.records import Call, Run

COLOURS: Final = 8
ROWS_MAX: Final = 1000
"""Lines of a timeline; a longer run says how many more there are."""
_WIDE: Final = 1000
_HIGH: Final = 100
TYPE_WORDS: Final = {
    "input_uncached": ("input, not cached", "k0"),
    "input_cache_read": ("input, read from cache", "k6"),
    "input_cache_write": ("input, written to cache", "k4"),
    "input_audio": ("input, audio", "k7"),
    "output_visible": ("output, visible", "k1"),
    "output_reasoning": ("output, reasoning", "k3"),
    "output_audio": ("output, audio", "k5"),
    "fee": ("fees", "k2"),
    "unsplit": ("stated without parts", "kx"),
}
"""Cost and token types in words, with the colour that each keeps everywhere."""


class Share(NamedTuple):
    """One bar of a breakdown: `label` is markup."""

    label: str
    amount: Decimal | None
    colour: str = "k0"
    note: str = ""


def colours(names: Iterable[str | None]) -> dict[str | None, str]:
    """A colour for each name, in the order of their first appearance; nobody is grey."""
    found: dict[str | None, str] = {None: "kx"}
    for name in names:
        if name not in found:
            found[name] = f"k{(len(found) - 1) % COLOURS}"
    return found


def bar(start: float, length: float, colour: str) -> Html:
    """A bar from `start` over `length`, both shares of the width (0..1)."""
    x = max(0.0, min(1.0, start)) * _WIDE
    size = max(3.0, min(_WIDE - x, length * _WIDE))
    return Html(
        f'<svg class="bar" viewBox="0 0 {_WIDE} 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="{colour}" x="{min(x, _WIDE - size):.0f}" width="{size:.0f}" height="10"/></svg>'
    )


def shares(title: str, parts: Sequence[Share]) -> Html:
    """Who has how much of a sum of dollars, the greatest first: label, bar, amount, percentage."""
    known = sorted((part for part in parts if part.amount is not None), key=lambda part: -(part.amount or 0))
    whole = float(sum((part.amount or 0) for part in known))
    lines = []
    for part in (*known, *(part for part in parts if part.amount is None)):
        of = float(part.amount) / whole if part.amount is not None and whole else 0.0
        cost = "unknown" if part.amount is None else dollars(part.amount)
        percentage = share(of) if part.amount is not None and whole else part.note
        lines.append(
            f'<li><span class="what">{part.label}</span>{bar(0, of, part.colour) if part.amount else "<span></span>"}'
            f'<span class="n">{cost}</span><span class="n quiet">{percentage}</span></li>'
        )
    return Html(f'<div class="shares"><h4>{text(title)}</h4><ol>{"".join(lines)}</ol></div>')


def by_type(amounts: Mapping[str, Decimal]) -> Html:
    """What kind of tokens the money went into."""
    parts = []
    for name, amount in amounts.items():
        words, colour = TYPE_WORDS.get(name, (name, "kx"))
        parts.append(Share(text(words), amount, colour))
    return shares("By type of token", parts)


def waterfall(run: Run, link: Callable[[int], str], colour: Mapping[str | None, str]) -> Html:
    """Steps and calls in order of time, each a bar over the run's duration; calls link to their details."""
    lines = _bars(run)
    if not lines:
        return Html('<p class="quiet">Nothing in this run has a time.</p>')
    start = min(line.start_ns for line in lines)
    length = max(1, max(line.end_ns for line in lines) - start)
    items = []
    for line in lines[:ROWS_MAX]:
        duration = seconds(max(0, line.end_ns - line.start_ns) / 1e9)
        label = text(line.name)
        if line.call is not None:
            label = Html(f'<a class="open-call" href="{link(line.call)}">{label}</a>')
        picture = bar((line.start_ns - start) / length, (line.end_ns - line.start_ns) / length, colour.get(line.agent, "kx"))
        kind = "call" if line.call is not None else "step"
        failed = "" if line.outcome == "ok" else f' <span class="bad">{text(line.outcome)}</span>'
        items.append(
            f'<li class="{kind}"><span class="what">{label}{failed}</span>{picture}<span class="n">{duration}</span></li>'
        )
    more = len(lines) - ROWS_MAX
    tail = f'<p class="quiet">{many(more, "more line")} not drawn.</p>' if more > 0 else ""
    scale = f'<p class="scale quiet"><span>0</span><span>{seconds(length / 2e9)}</span><span>{seconds(length / 1e9)}</span></p>'
    return Html(f'{legend(run, colour)}<ol class="waterfall">{"".join(items)}</ol>{scale}{tail}')


def legend(run: Run, colour: Mapping[str | None, str]) -> Html:
    """Which colour is which agent."""
    names = [agent.name for agent in run.agents][: COLOURS * 2]
    items = [f"<li>{chip(colour.get(name, 'kx'))}{text(name)}</li>" for name in names]
    if run.unattributed.calls:
        items.append(f"<li>{chip('kx')}unattributed</li>")
    return Html(f'<ul class="legend">{"".join(items)}</ul>')


def chip(colour: str) -> Html:
    """A spot of colour."""
    return Html(
        f'<svg class="chip" viewBox="0 0 10 10" aria-hidden="true"><rect class="{colour}" width="10" height="10" rx="2"/></svg>'
    )


class _Bar(NamedTuple):
    start_ns: int
    end_ns: int
    name: str
    agent: str | None
    outcome: str
    call: int | None


def _bars(run: Run) -> list[_Bar]:
    found = [
        _Bar(step.started_ns, step.ended_ns, step.name, step.agent, step.outcome, None) for step in run.steps if step.started_ns
    ]
    found += [
        _Bar(call.started_ns, call.ended_ns, call.model or call.request_model or "call", call.owner.agent, call.outcome, place)
        for place, call in enumerate(run.calls)
        if call.started_ns
    ]
    return sorted(found, key=lambda line: (line.start_ns, line.call is not None, -line.end_ns))


def context_curve(run: Run, colour: Mapping[str | None, str]) -> Html:
    """How full the model's window was at each call, a line for each agent; in tokens where no window is known."""
    timed = sorted((call for call in run.calls if call.usage.total_tokens is not None), key=lambda call: call.started_ns)
    windowed = [call for call in timed if call.context_window_tokens]
    points = (
        [(_fill(call), call) for call in windowed]
        if windowed
        else [(float(call.usage.total_tokens or 0), call) for call in timed]
    )
    if not points:
        return Html('<p class="quiet">No call of this run tells its tokens.</p>')
    peak, fullest = max(points, key=lambda point: point[0])
    top = _nice(peak, 100.0 if windowed else math.inf)
    show: Callable[[float], str] = (lambda value: percent(value, 0 if top >= 10 else 1)) if windowed else tokens
    by_agent: dict[str | None, list[tuple[int, float]]] = {}
    for place, (value, call) in enumerate(points):
        by_agent.setdefault(call.owner.agent, []).append((place, value))
    lines = "".join(_line(own, len(points), top, colour.get(agent, "kx")) for agent, own in by_agent.items())
    grid = "".join(f'<path class="grid" d="M0 {y}H{_WIDE}"/>' for y in (0, 50, 100))
    left = len(timed) - len(points)
    without = f" {many(left, 'call')} of unknown window not shown." if left else ""
    owner = f", by {text(fullest.owner.agent)}" if fullest.owner.agent else ""
    what = "of the model's window" if windowed else "tokens in one call"
    exact = percent(peak) if windowed else tokens(peak)
    return Html(
        f'{legend(run, colour)}<figure class="curve"><div class="axis quiet" aria-hidden="true"><span>{show(top)}</span>'
        f'<span>{show(top / 2)}</span><span>0</span></div><svg viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none" '
        f'aria-hidden="true">{grid}{lines}</svg><figcaption class="quiet">Calls in order of time. '
        f"Peak: {exact} {what}{owner}.{without}</figcaption></figure>"
    )


def _fill(call: Call) -> float:
    return 100 * (call.usage.total_tokens or 0) / (call.context_window_tokens or 1)


def _line(points: Sequence[tuple[int, float]], count: int, top: float, colour: str) -> str:
    places = [(round((place + 0.5) / count * _WIDE, 1), round(_HIGH * (1 - value / top), 1)) for place, value in points]
    path = "L".join(f"{x:g} {y:g}" for x, y in places)
    # A line of no length with round ends is a dot that the stretched picture does not turn into an ellipse.
    dots = "".join(f"M{x:g} {y:g}h0" for x, y in places)
    return f'<path class="line {colour}" d="M{path}"/><path class="dots {colour}" d="{dots}"/>'


def _nice(peak: float, most: float) -> float:
    """The end of an axis: 1, 2 or 5 times a power of ten."""
    if peak <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(peak))
    top = next(step * power for step in (1, 2, 5, 10) if step * power >= peak)
    return max(peak, min(top, most))
