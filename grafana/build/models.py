"""Models and efficiency: tokens and dollars by model and type, caches, latency, and what a million tokens really cost."""

from __future__ import annotations

from typing import Any, Final

from grafana.build import panels as p
from grafana.build.frame import dashboard, row, variable
from grafana.build.promql import STEP, quantile, rate, ratio, share, total, where

from costspan import conventions as names

UID: Final = "costspan-models"
_ONE: Final = where("provider", "model")
_INPUT: Final = f'{_ONE}, token_type=~"input_.*"'
_OUTPUT: Final = f'{_ONE}, token_type=~"output_.*"'
_CACHED: Final = f'{_ONE}, token_type="input_cache_read"'
_BY: Final = ("model",)
_NO_CALLS: Final = "No calls"


def build() -> Any:
    """The dashboard."""
    frame = dashboard(
        UID,
        "Models and efficiency",
        "Which models are paid for what, and how well they are used. The price of a million tokens is what was really paid, "
        "after caches, tiers and batch discounts.",
        variable("provider", "Provider", names.CALLS),
        variable("model", "Model", names.CALLS, "provider"),
        since="now-6h",
    )
    row(frame, "What is paid, and for what?", [*_figures(), _table(), *_types()])
    row(frame, "How fast, how full?", _speed())
    return frame


def _per_million(cost: str, tokens: str) -> str:
    return ratio(f"1e6 *\n{cost}", tokens)


def _price() -> str:
    """Dollars of a million tokens over all models that have a price: tokens without one would make it look lower."""
    cost, tokens = total(names.COST_USD, _ONE, by=_BY), total(names.TOKENS, _ONE, by=_BY)
    return _per_million(f"sum (\n{cost}\n)", f"sum (\n{tokens}\nand\n{cost} > 0\n)")


def _failed(by: tuple[str, ...] = ()) -> str:
    return share(total(names.CALLS, f'{_ONE}, outcome="error"', by=by), total(names.CALLS, _ONE, by=by))


def _figures() -> list[Any]:
    cost, tokens = total(names.COST_USD, _ONE), total(names.TOKENS, _ONE)
    first = quantile(0.95, names.TIME_TO_FIRST_TOKEN, _ONE)
    return [
        p.number("Cost", "Dollars in this range.", cost, p.USD, nothing=_NO_CALLS),
        p.number("Tokens", "Input and output in this range.", tokens, p.COUNT, nothing=_NO_CALLS),
        p.number("Price per million tokens", "Dollars over tokens, as paid; models without a price are left out.", _price(),
                 p.USD, nothing=_NO_CALLS),
        p.number("Cache hits", "Share of the input tokens that were read from the provider's cache.",
                 share(total(names.TOKENS, _CACHED), total(names.TOKENS, _INPUT)), p.SHARE, nothing=_NO_CALLS),
        p.number("First token", "95 of 100 streams began to answer within this time.", first, p.SECONDS, nothing="No streams"),
        p.number("Failed calls", "Share of the calls that ended in an error.", _failed(), p.SHARE, nothing=_NO_CALLS,
                 steps=((None, "green"), (0.02, "orange"), (0.1, "red"))),
    ]  # fmt: skip


def _table() -> Any:
    cost, tokens = total(names.COST_USD, _ONE, by=_BY), total(names.TOKENS, _ONE, by=_BY)
    paid_in, paid_out = (total(names.COST_USD, f'{_ONE}, cost_type=~"{side}_.*"', by=_BY) for side in ("input", "output"))
    taken, given = total(names.TOKENS, _INPUT, by=_BY), total(names.TOKENS, _OUTPUT, by=_BY)
    seconds, timed = (total(f"{names.CALL_DURATION}_{part}", _ONE, by=_BY) for part in ("sum", "count"))
    sizes = total(f"{names.CALL_TOKENS}_bucket", where("model"), by=("model", "le"))
    return p.grid("Models", "Click a heading to sort, a model to keep only it.", ("model", "Model"), [
        p.Column(cost, "Cost", p.USD, bar=True),
        p.Column(tokens, "Tokens", bar=True),
        p.Column(total(names.CALLS, _ONE, by=_BY), "Calls"),
        p.Column(_per_million(cost, tokens), "Per million tokens", p.USD),
        p.Column(_per_million(paid_in, taken), "Per million input", p.USD),
        p.Column(_per_million(paid_out, given), "Per million output", p.USD),
        p.Column(share(total(names.TOKENS, _CACHED, by=_BY), taken), "Cache hits", p.SHARE),
        p.Column(f"histogram_quantile(1, {sizes})", "Largest side of a call, at most"),
        p.Column(ratio(seconds, timed), "Average time", p.SECONDS),
        p.Column(quantile(0.95, names.TIME_TO_FIRST_TOKEN, _ONE, by=_BY), "First token (95 of 100)", p.SECONDS),
        p.Column(ratio(given, seconds), "Output tokens per second"),
        p.Column(_failed(_BY), "Failed", p.SHARE, steps=((None, "text"), (0.02, "orange"), (0.1, "red"))),
    ], to=[p.link("Only this model", UID, "model")], nothing=_NO_CALLS)  # fmt: skip


def _types() -> list[Any]:
    return [
        p.bars("Tokens by type", "Tokens of each interval; the types add up to the total.",
               [p.Query(total(names.TOKENS, _ONE, by=("token_type",), window=STEP), "{{token_type}}", exemplars=True)], p.COUNT,
               size=(8, 8)),
        p.bars("Cost by type", "Dollars of each interval. Fee: paid searches and the like. Unsplit: a total that the provider "
               "told in one figure.",
               [p.Query(total(names.COST_USD, _ONE, by=("cost_type",), window=STEP), "{{cost_type}}", exemplars=True)], p.USD,
               size=(8, 8)),
        p.bars("Calls by outcome", "Calls of each interval.",
               [p.Query(total(names.CALLS, _ONE, by=("outcome",), window=STEP), "{{outcome}}")], p.COUNT, size=(8, 8)),
        p.ranking("Cost by provider", "Dollars in this range.",
                  p.Query(total(names.COST_USD, _ONE, by=("provider",)), "{{provider}}"), p.USD, nothing="No spend"),
        p.lines("Price per million tokens over time", "Dollars over tokens, as paid.",
                [p.Query(f"1e6 * {ratio(rate(names.COST_USD, _ONE, by=_BY), rate(names.TOKENS, _ONE, by=_BY))}", "{{model}}")],
                p.USD, size=(8, 8)),
        p.lines("Cache hits over time", "Share of the input tokens that were read from the provider's cache.",
                [p.Query(ratio(rate(names.TOKENS, _CACHED, by=_BY), rate(names.TOKENS, _INPUT, by=_BY)), "{{model}}")], p.SHARE,
                size=(8, 8), top=1.0),
    ]  # fmt: skip


def _speed() -> list[Any]:
    def line(histogram: str, q: float) -> p.Query:
        return p.Query(quantile(q, histogram, _ONE, by=_BY, window=None), f"{{{{model}}}}: {q:.0%}", exemplars=q < 0.9)

    context = total(f"{names.CONTEXT_RATIO}_bucket", where(), by=("le",), window=STEP)
    return [
        p.lines("Time to the first token", "Half and 95 of 100 of the streams began to answer within this time.",
                [line(names.TIME_TO_FIRST_TOKEN, 0.5), line(names.TIME_TO_FIRST_TOKEN, 0.95)], p.SECONDS, size=(8, 8)),
        p.lines("Time of calls", "Half and 95 of 100 of the calls were done within this time.",
                [line(names.CALL_DURATION, 0.5), line(names.CALL_DURATION, 0.95)], p.SECONDS, size=(8, 8)),
        p.cells("Context in use (all models)", "How full the models' windows were: input and output of one call over it.",
                p.Query(context, exemplars=True), p.SHARE, size=(8, 8)),
    ]  # fmt: skip
