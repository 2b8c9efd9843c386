"""What the pages show, as HTML. Pure: rows of the history in, markup out."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from costspan.report import charts
from costspan.report.diff_text import headline, signed_dollars, signed_tokens
from costspan.report.figures import UNKNOWN, dollars, many, seconds, share, tokens
from costspan.report.marks import known_cost, known_tokens
from costspan.report.markup import Cell, Column, Html, badge, maybe, number, table, text
from costspan.report.page_call import clock, per_million

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from costspan.history.rows import Gap, Group, ModelRow, RunRow, Sums, ToolRow
    from costspan.records import Run, Totals
    from costspan.report.diff import Change, Diff

SCREENS: Final = (
    ("/", "Overview"),
    ("/runs", "Runs"),
    ("/tools", "Tools"),
    ("/models", "Models and prices"),
    ("/compare", "Compare"),
    ("/measurement", "Measurement"),
)
_PERIODS: Final = (1, 7, 30, 90, 365)


def layout(title: str, here: str, body: str, *, live: bool = False) -> str:
    """The whole document around a screen; `title` is plain text, `body` markup."""
    links = "".join(
        f'<a href="{path}"{" aria-current=page" if path == here else ""}>{escape(name)}</a>' for path, name in SCREENS
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="color-scheme" content="light dark"><title>{text(title)} · costspan</title>'
        '<link rel="icon" href="data:,"><link rel="stylesheet" href="/static/page.css">'
        '<script src="/static/page.js" defer></script>'
        f'<script src="/static/live.js" defer></script></head><body{" data-live" if live else ""}>'
        '<a class="skip" href="#main">Skip to the content</a><header class="bar-top"><div><b>costspan</b>'
        f'<nav aria-label="Screens">{links}</nav></div></header><main id="main">{body}</main>'
        '<aside class="drawer" id="drawer" role="dialog" aria-label="Call" tabindex="-1"></aside></body></html>\n'
    )


def run_link(name: str) -> Html:
    """Where a run is shown."""
    return Html(escape("/run?" + urlencode({"id": name})))


def call_link(name: str, place: int) -> Html:
    """Where a call is shown; calls are numbered from 1."""
    return Html(escape("/call?" + urlencode({"run": name, "n": place + 1})))


def options(names: Iterable[str], chosen: str | None, none: str) -> str:
    """The choices of a select, the first of them being none."""
    items = "".join(
        f'<option value="{escape(name)}"{" selected" if name == chosen else ""}>{text(name)}</option>' for name in names
    )
    return f'<option value="">{escape(none)}</option>{items}'


def periods(here: str, days: int) -> str:
    """Links to other ranges of time."""
    items = " ".join(
        f'<a href="{here}?days={each}"{" aria-current=true" if each == days else ""}>{many(each, "day")}</a>' for each in _PERIODS
    )
    return f'<p class="periods" aria-label="Period">{items}</p>'


def tiles(sums: Sums, days: int) -> str:
    """The figures that matter over a range of time."""
    cached = sums.cache_read_tokens / sums.input_tokens if sums.cache_read_tokens is not None and sums.input_tokens else None
    figures = (
        ("cost", cost_of(sums), f"in {many(days, 'day')}"),
        ("tokens", tokens_of(sums), f"{tokens(sums.input_tokens)} in, {tokens(sums.output_tokens)} out"),
        ("model calls", tokens(sums.calls), many(sums.errors, "error")),
        ("measured", share(sums.share), "reported and priced"),
        ("read from cache", share(cached), "of input tokens"),
        ("unpriced", many(sums.unpriced_calls, "call"), f"{many(sums.missing_calls, 'call')} without usage"),
    )
    return "<dl class=tiles>" + "".join(f"<div><dt>{a}</dt><dd>{b}<small>{c}</small></dd></div>" for a, b, c in figures) + "</dl>"


def cost_of(sums: Sums) -> str:
    """Dollars of a sum, with the marks of its evidence."""
    if sums.cost_usd is None:
        return "unknown" if sums.calls > sums.refused_calls else "$0"
    partly = sums.priced_calls < sums.calls - sums.refused_calls
    return f"{'~' if sums.estimated_calls else ''}{dollars(sums.cost_usd)}{'+?' if partly else ''}"


def tokens_of(sums: Sums) -> str:
    """The same for tokens."""
    if not sums.calls:
        return "0"
    known = tokens(sums.total_tokens)
    return known if known == UNKNOWN else f"{'~' if sums.estimated_calls else ''}{known}{'+?' if sums.missing_calls else ''}"


def by_day(groups: Sequence[Group], days: Sequence[str]) -> Html:
    """A column for each day, and the same as a table."""
    found = {str(group.key[0]): group.sums for group in groups}
    most = max((float(sums.cost_usd or 0) for sums in found.values()), default=0.0)
    if not found or not most:
        return Html('<p class="quiet">Nothing with a known price in this time.</p>')
    step = 1000 / len(days)
    columns = []
    for place, day in enumerate(days):
        amount = float(found[day].cost_usd or 0) if day in found else 0.0
        if amount:
            high = max(1.0, 100 * amount / most)
            columns.append(
                f'<rect class="k0" x="{(place + 0.1) * step:.1f}" y="{100 - high:.1f}" width="{step * 0.8:.1f}" '
                f'height="{high:.1f}">'
                f"<title>{day}: {cost_of(found[day])}</title></rect>"
            )
    rows = [
        (
            Cell(day),
            number(cost_of(sums), sums.cost_usd),
            number(tokens_of(sums), sums.total_tokens),
            number(tokens(sums.calls), sums.calls),
        )
        for day, sums in sorted(found.items(), reverse=True)
    ]
    heads = (Column("day (UTC)"), Column("cost", number=True), Column("tokens", number=True), Column("calls", number=True))
    return Html(
        f'<figure class="curve"><div class="axis quiet" aria-hidden="true"><span>${most:,.4g}</span><span>0</span></div>'
        f'<svg viewBox="0 0 1000 100" preserveAspectRatio="none" role="img" '
        'aria-label="Spend by day; the table below has the figures">'
        f'{"".join(columns)}</svg><figcaption class="quiet">{days[0]} to {days[-1]}, UTC days</figcaption></figure>'
        f"<details><summary>As a table</summary>{table('Spend by day', heads, rows)}</details>"
    )


def spend(title: str, groups: Sequence[Group], most: int = 12) -> Html:
    """Who spent it."""
    parts = [
        charts.Share(maybe(group.key[0]), group.sums.cost_usd, f"k{place % charts.COLOURS}", "no price")
        for place, group in enumerate(groups[:most])
    ]
    return charts.shares(title, parts)


def live_runs(runs: Sequence[Run]) -> str:
    """What is going on now."""
    if not runs:
        return ""
    items = "".join(
        f'<li><a href="{run_link(run.id)}">{text(run.workflow or "run")}</a> {badge("running")} {known_cost(run.totals)}, '
        f"{many(run.totals.calls, 'call')}, {known_tokens(run.totals)} tokens</li>"
        for run in runs
    )
    return f'<section class="card" aria-labelledby="live"><h2 id="live">Running now</h2><ul>{items}</ul></section>'


def run_table(rows: Sequence[RunRow], sort: str, descending: bool, query: Mapping[str, str]) -> Html:
    """Runs, with headings that sort on the server, for there may be millions."""
    heads = []
    for key, label in (
        ("workflow", "run"),
        ("started", "started"),
        (None, "outcome"),
        ("calls", "calls"),
        ("tokens", "tokens"),
        ("cost", "cost"),
        ("duration", "duration"),
        (None, "measured"),
    ):
        shape = " class=n" if label in ("calls", "tokens", "cost", "duration", "measured") else ""
        if key is None:
            heads.append(f'<th scope="col"{shape}>{label}</th>')
            continue
        state = f' aria-sort="{"descending" if descending else "ascending"}"' if key == sort else ""
        way = "up" if key == sort and descending else "down"
        link = escape("/runs?" + urlencode({**query, "sort": key, "way": way}))
        heads.append(
            f'<th scope="col"{shape}{state}><a href="{link}">{label}{(" ▾" if descending else " ▴") if state else ""}</a></th>'
        )
    lines = "".join(
        f'<tr><th scope="row"><a href="{run_link(row.id)}">{text(row.workflow or row.id)}</a>'
        f"{f' <small>{text(row.service)}</small>' if row.service else ''}</th><td>{clock(row.started_ns)}</td>"
        f"<td>{badge(row.outcome)}</td>"
        f"<td class=n>{tokens(row.sums.calls)}</td><td class=n>{tokens_of(row.sums)}</td><td class=n>{cost_of(row.sums)}</td>"
        f"<td class=n>{seconds(row.duration_seconds)}</td><td class=n>{share(row.sums.share)}</td></tr>"
        for row in rows
    )
    return Html(
        '<div class="scroll" role="region" aria-label="Runs" tabindex="0"><table><caption class="quiet">Runs</caption>'
        f"<thead><tr>{''.join(heads)}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def tools(rows: Sequence[ToolRow]) -> Html:
    """The tool bill over many runs."""
    if not rows:
        return Html('<p class="quiet">No tool was used in this time.</p>')
    heads = [Column("tool"), Column("workflow"), *(Column(one, number=True) for one in ("calls", "errors", "mean time"))]
    heads += [Column(one, number=True) for one in ("nested", "call", "result", "carried", "cost")]
    lines = []
    for row in rows:
        known = [part for part in (row.nested_usd, row.call_usd, row.result_usd, row.carried_usd) if part is not None]
        mean = row.duration_ns / row.calls / 1e9 if row.calls else None
        counts = (row.nested_tokens, row.call_tokens, row.result_tokens, row.carried_tokens)
        lines.append(
            (
                Cell(text(row.tool)),
                Cell(maybe(row.workflow)),
                number(tokens(row.calls), row.calls),
                number(tokens(row.errors), row.errors),
                number(seconds(mean), mean),
                *(number(tokens(count), count) for count in counts),
                number(dollars(sum(known)) if known else UNKNOWN, sum(known) if known else None),  # type: ignore[arg-type]
            )
        )
    return table("Tools", heads, lines)


def models(rows: Sequence[ModelRow]) -> Html:
    """Every model that was called, and the price rows used: unpriced ones first."""
    if not rows:
        return Html('<p class="quiet">No model was called in this time.</p>')
    heads = [
        Column("model"),
        Column("provider"),
        *(Column(one, number=True) for one in ("calls", "tokens", "cost", "$/M tokens", "unpriced")),
    ]
    heads += [Column("price rows"), Column("source"), Column("last used")]
    return table(
        "Models and prices",
        heads,
        [
            (
                Cell(maybe(row.model)),
                Cell(maybe(row.provider)),
                number(tokens(row.sums.calls), row.sums.calls),
                number(tokens_of(row.sums), row.sums.total_tokens),
                number(cost_of(row.sums), row.sums.cost_usd),
                number(per_million(row.sums.cost_usd, row.sums.total_tokens), None),
                number(
                    f'<span class="{"bad" if row.sums.unpriced_calls else ""}">{row.sums.unpriced_calls:,}</span>',
                    row.sums.unpriced_calls,
                ),
                Cell(", ".join(f"<code>{text(ref)}</code>" for ref in row.price_refs) or "none"),
                Cell(", ".join(text(source) for source in row.price_sources) or "unknown"),
                Cell(text(row.last_day)),
            )
            for row in rows
        ],
    )


def comparison(found: Diff) -> Html:
    """Two runs side by side."""
    notes = "".join(f'<li class="warn">{text(line)}</li>' for line in found.partial)
    parts = [f"<p><b>{text(headline(found))}</b></p>{f'<ul>{notes}</ul>' if notes else ''}"]
    names = ("", "cost A", "cost B", "change", "tokens A", "tokens B", "change")
    for kind, title in (("agent", "By agent"), ("model", "By model"), ("tool", "Inside tools")):
        changes = found.changes[kind]
        if changes:
            heads = [Column(name or kind, number=bool(place)) for place, name in enumerate(names)]
            parts.append(f"<section><h2>{title}</h2>{table(title, heads, [_change(one) for one in changes])}</section>")
    return Html("".join(parts))


def _change(change: Change) -> tuple[Cell, ...]:
    mark = " <small>new</small>" if change.before is None else " <small>gone</small>" if change.after is None else ""

    def money(totals: Totals | None) -> Cell:
        return number("–" if totals is None else known_cost(totals), totals.cost_usd if totals else None)

    def count(totals: Totals | None) -> Cell:
        return number("–" if totals is None else known_tokens(totals), totals.usage.total_tokens if totals else None)

    return (
        Cell(f"{text(change.name)}{mark}"),
        money(change.before),
        money(change.after),
        Cell(signed_dollars(change.cost_usd), change.cost_usd, number=True),
        count(change.before),
        count(change.after),
        Cell(signed_tokens(change.tokens), change.tokens, number=True),
    )


def gaps(found: Sequence[Gap]) -> Html:
    """What the accounts lack."""
    if not found:
        return Html('<p class="good">Every call has usage and a price.</p>')
    heads = (
        Column("what is missing"),
        Column("model"),
        Column("provider"),
        Column("agent"),
        Column("reason"),
        Column("calls", number=True),
        Column("last"),
    )
    rows = [
        (
            Cell("price" if gap.unpriced else "usage"),
            Cell(maybe(gap.model)),
            Cell(maybe(gap.provider)),
            Cell(maybe(gap.agent)),
            Cell(maybe(gap.reason)),
            number(tokens(gap.calls), gap.calls),
            Cell(clock(gap.last_ns), gap.last_ns),
        )
        for gap in found
    ]
    return table("Calls that lack a price or usage", heads, rows)


def facts(found: Mapping[str, object], prefix: str = "") -> str:
    """The state of the server as a list, nested names joined."""
    lines = []
    for name, value in found.items():
        label = f"{prefix}{name}".replace("_", " ")
        if hasattr(value, "items"):
            lines.append(facts(value, f"{label} "))  # type: ignore[arg-type]
        else:
            lines.append(
                f"<dt>{text(label)}</dt><dd>{text('yes' if value is True else 'no' if value is False else str(value))}</dd>"
            )
    return "".join(lines)
