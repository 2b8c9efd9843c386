"""How the dashboards ask Prometheus.

`increase()` misses what a series was born with, and stretches what it saw to the whole range: a process that made five calls
and ended shows as nothing or as eight. `grown()` takes the difference between a counter's end and its base instead:

| the series, within the range | its base |
|---|---|
| was there at the start, and is the same life still | what it was at the start |
| was born since, or up to five minutes before and not yet scraped (its created timestamp says so) | 0 |
| restarted, is older than Prometheus' memory of it, or has no created timestamp | none: it gets `increase()` |

So it is exact to the last token and cent, and across a restart under the same labels as good as `increase()`. The bars of
consecutive intervals add up to the figure of the whole range. It reads each sample of the range five times where `increase()`
reads it once, so keep long ranges for figures that come from the recording rules' ledger.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from costspan import conventions as names

HERE: Final = ("job", "environment")
"""Variables that every metric of a process can be filtered by: the scraper's labels."""
NOBODY: Final = {"agent": "(unattributed)", "workflow": "(no workflow)", "model": "(no model)", "provider": "(no provider)"}
"""What the empty value of a label is shown as."""


class Window(NamedTuple):
    """A length of time as Grafana writes it into a query: in brackets, and as a number of seconds."""

    brackets: str
    seconds: str


RANGE: Final = Window("$__range", "$__range_s")
"""The whole range that the dashboard shows."""
STEP: Final = Window("$__interval", "$__interval_ms / 1000")
"""One bar of a chart; bars lie next to each other and never overlap."""
RATE: Final = "$__rate_interval"


def where(*variables: str, also: str = "", here: tuple[str, ...] = HERE) -> str:
    """Matchers for the scraper's labels and these variables, and a further matcher as it is."""
    parts = [f'{name}=~"${name}"' for name in (*here, *variables)]
    return ", ".join([*parts, also] if also else parts)


def grown(metric: str, matchers: str, window: Window = RANGE, *, le: str = "") -> str:
    """What each series of a counter added within a window, exactly (see the top); `le` picks one bucket of a `…_bucket`."""
    base = metric
    for suffix in ("_total", "_bucket", "_count", "_sum"):
        base = base.removesuffix(suffix)
    range_ = window.brackets
    own = f'{matchers}, le="{le}"' if le else matchers
    now, then = f"{metric}{{{own}}}[{range_}]", f"{metric}{{{own}}} offset {range_}"
    born, born_then = f"{base}_created{{{matchers}}}[{range_}]", f"{base}_created{{{matchers}}} offset {range_}"
    if metric.endswith("_bucket"):
        but, zero = " ignoring (le)", f"0 * last_over_time({now}) and ignoring (le)"
    else:
        but, zero = "", "0 *"
    return f"""(
  last_over_time({now}) - (
    ({then} and{but} {born_then}) unless{but} (last_over_time({born}) > {born_then})
    or {zero} (last_over_time({born}) >= time() - {window.seconds} - 300)
  )
  unless{but} (changes({born}) > 0)
  or increase({now})
)"""


def total(metric: str, matchers: str, *, by: tuple[str, ...] = (), window: Window = RANGE, le: str = "") -> str:
    """`grown()`, summed by labels; an empty label gets a name that a person can read."""
    inner = grown(metric, matchers, window, le=le)
    return readable(f"sum{_by(by)} (\n{_indent(inner)}\n)", by)


def rate(metric: str, matchers: str, *, by: tuple[str, ...] = ()) -> str:
    """Growth per second, smoothed: for lines."""
    return readable(f"sum{_by(by)} (rate({metric}{{{matchers}}}[{RATE}]))", by)


def ratio(part: str, whole: str) -> str:
    """One over the other; no number (shown as a dash) when the whole is 0."""
    return f"{_indent(part, 0)}\n/\n{whole}"


def or_zero(part: str, whole: str) -> str:
    """`part`, or 0 where only `whole` has a series: a share of nothing is 0, and not unknown."""
    return f"(\n{_indent(part)}\n  or\n{_indent(f'0 * {whole}')}\n)"


def share(part: str, whole: str) -> str:
    """The part of the whole, 0 where the part never happened."""
    return f"{or_zero(part, whole)}\n/\n{whole}"


def quantile(q: float, histogram: str, matchers: str, *, by: tuple[str, ...] = (), window: Window | None = RANGE) -> str:
    """A quantile of a histogram, by labels; `window` None takes the smoothed rate, for lines."""
    labels = (*by, "le")
    buckets = f"{histogram}_bucket"
    inner = rate(buckets, matchers, by=labels) if window is None else total(buckets, matchers, by=labels, window=window)
    return f"histogram_quantile({q:g}, {inner})"


def readable(expr: str, by: tuple[str, ...]) -> str:
    """The same with a name in place of each empty label value."""
    for label in by:
        if label in NOBODY:
            expr = f'label_replace({expr}, "{label}", "{NOBODY[label]}", "{label}", "")'
    return expr


def metrics_in(expr: str) -> list[str]:
    """Names of costspan's metrics in an expression, each once, in the order of `conventions`, created timestamps left out."""
    words = set(expr.replace("(", " ").replace("{", " ").replace("[", " ").replace(")", " ").split())
    plain = {word for word in words if not word.endswith("_created")}
    for suffix in ("_bucket", "_count", "_sum"):
        plain |= {word.removesuffix(suffix) for word in plain}
    return [name for name in (*names.LABELS, *names.RECORDED) if name in plain]


def _by(labels: tuple[str, ...]) -> str:
    return f" by ({', '.join(labels)})" if labels else ""


def _indent(text: str, by: int = 2) -> str:
    return "\n".join(" " * by + line for line in text.splitlines())
