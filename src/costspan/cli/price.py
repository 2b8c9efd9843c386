"""`costspan price`: what a call costs, by hand for one model, or for a file of calls."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO

import typer

from costspan.cli.plain import plain
from costspan.errors import InputError, UsageError
from costspan.report.names import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from costspan.price.book import PriceBook
    from costspan.records import Cost, Unpriced, Usage

_FIELDS: Final = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
    "cache_write_1h": "cache_write_1h_tokens",
    "reasoning": "reasoning_tokens",
    "input_audio": "input_audio_tokens",
    "output_audio": "output_audio_tokens",
}
"""Names of token counts in a batch file, and in our records."""


_HELP: Final = """What does a call cost? For one model, or for a file of calls (--batch).

Without counts: what the model costs per million tokens. Exit code 3: no price; 1: priced, but rows of your price file or lines
of --batch could not be used."""


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command(name="price", help=_HELP)(price)


def price(
    model: Annotated[str | None, typer.Argument(help="A model's name in any spelling, for example gpt-4o.")] = None,
    provider: Annotated[str | None, typer.Option(help="Who serves it; needed where the name does not tell.")] = None,
    at: Annotated[str | None, typer.Option(help="When, in UTC, for example 2026-01-31 (default: now).")] = None,
    input_tokens: Annotated[int | None, typer.Option("--input", help="All input tokens, cached ones included.")] = None,
    output_tokens: Annotated[int | None, typer.Option("--output", help="All output tokens, reasoning included.")] = None,
    cache_read: Annotated[int | None, typer.Option(help="Input tokens read from a cache.")] = None,
    cache_write: Annotated[int | None, typer.Option(help="Input tokens written to a cache.")] = None,
    cache_write_1h: Annotated[
        int | None, typer.Option("--cache-write-1h", help="The part of --cache-write kept for an hour.")
    ] = None,
    reasoning: Annotated[int | None, typer.Option(help="Output tokens spent on reasoning.")] = None,
    input_audio: Annotated[int | None, typer.Option(help="Input tokens that are audio.")] = None,
    output_audio: Annotated[int | None, typer.Option(help="Output tokens that are audio.")] = None,
    service_tier: Annotated[str | None, typer.Option(help="As the response told: priority, flex …")] = None,
    batch: Annotated[Path | None, typer.Option(help="A file with one call as a JSON object per line; - reads stdin.")] = None,
    as_batch: Annotated[bool, typer.Option("--batch-api", help="The call went through the provider's batch API.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the price of one call, or of each call in a file; without counts what the model costs per million tokens.

    Exit code 3 when there is no price.
    """
    if (model is None) == (batch is None):
        raise UsageError("give either a MODEL (costspan price gpt-4o --input 1000 --output 100) or --batch FILE")
    given = {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cache_read": cache_read,
        "cache_write": cache_write,
        "cache_write_1h": cache_write_1h,
        "reasoning": reasoning,
        "input_audio": input_audio,
        "output_audio": output_audio,
    }
    counts = {name: count for name, count in given.items() if count is not None}
    if batch is not None and (counts or as_batch or any(told is not None for told in (provider, at, service_tier))):
        raise UsageError("--batch goes with --json only: each line of the file tells its provider, time, counts and tier itself")
    book = open_book()
    if batch is not None:
        sys.exit(_price_file(book, batch, as_json=as_json) or int(bool(book.problems)))
    at_ns = _asked_time(at)
    if not counts:
        from costspan.cli.price_rates import print_rates

        found = book.rates(provider, model, at_ns, service_tier, batch=as_batch)
        sys.exit(print_rates(book, (provider, model), found, as_json=as_json) or int(bool(book.problems)))
    case = {"provider": provider, "model": model, "at": at, "usage": counts, "service_tier": service_tier, "batch": as_batch}
    answer, priced = price_case(book, case)
    sys.exit(_print_one(book, case, answer, priced, as_json=as_json) or int(bool(book.problems)))


def _asked_time(at: str | None) -> int:
    try:
        return time_ns(at)
    except InputError as error:
        message = f"--{error}"
        raise UsageError(message) from None


def open_book() -> PriceBook:
    """The price book with the overrides that COSTSPAN_PRICES names; a file that cannot be used raises SettingsError."""
    from costspan import settings
    from costspan.price.book import PriceBook

    return PriceBook(settings.read().prices, strict=True)


def price_case(book: PriceBook, case: Mapping[str, Any]) -> tuple[dict[str, Any], Cost | Unpriced]:
    """(answer, what it was made of) for one call of a batch file: id, cost_usd, price_source, price_ref, reason.

    A call that has no price, or that makes no sense, is answered with the reason; this never raises.
    """
    from costspan.records import Unpriced

    priced: Cost | Unpriced
    try:
        priced = book.price(
            usage_of(case.get("usage")),
            provider=case.get("provider"),
            model=case.get("model"),
            at_ns=time_ns(case.get("at")),
            service_tier=case.get("service_tier"),
            batch=_yes_or_no(case.get("batch"), "batch"),
            fees=case.get("fees"),
        )
    except InputError as error:
        priced = Unpriced("invalid_usage", str(error))
    if isinstance(priced, Unpriced):
        return {
            "id": case.get("id"),
            "cost_usd": None,
            "price_source": "unknown",
            "price_ref": None,
            "reason": priced.reason,
        }, priced
    amount = plain(priced.amount_usd)
    return {
        "id": case.get("id"),
        "cost_usd": amount,
        "price_source": priced.source,
        "price_ref": priced.ref,
        "reason": None,
    }, priced


def usage_of(raw: object) -> Usage:
    """Usage from a batch file's names. Counts that are not given are 0; a null is a count that nobody knows."""
    from costspan.records import Usage

    if not isinstance(raw, dict):
        raise InputError('usage must be an object like {"input_tokens": 1000, "output_tokens": 100}')
    unknown = sorted(set(raw) - set(_FIELDS))
    if unknown:
        message = f"usage has an unknown count {unknown[0]!r}; known are {', '.join(_FIELDS)}"
        raise InputError(message)
    return Usage(**{"input_tokens": 0, "output_tokens": 0, **{_FIELDS[name]: value for name, value in raw.items()}})


def _yes_or_no(value: object, what: str) -> bool:
    if value is None or isinstance(value, bool):
        return value is True
    message = f"{what} is {value!r:.40}, not true or false"
    raise InputError(message)


def time_ns(at: object) -> int:
    """An ISO 8601 date or time (UTC where it does not say) in nanoseconds since the epoch; None means now."""
    from costspan.price.schedule import to_ns

    if at is None:
        return to_ns(datetime.now(UTC))
    try:
        return to_ns(datetime.fromisoformat(at.upper()))  # type: ignore[attr-defined]
    except (AttributeError, TypeError, ValueError):
        message = f"at is {at!r:.40}, not a date like 2026-01-31 or a time like 2026-01-31T16:00:00Z"
        raise InputError(message) from None


def price_lines(book: PriceBook, lines: Iterable[str]) -> Iterator[tuple[dict[str, Any], bool]]:
    """(answer, readable) for each line that is not blank; a line that is no JSON object is answered too.

    What makes no sense is told on stderr, one line each, with the line's number.
    """
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        case = _object(line)
        if case is None:
            print(f"costspan: line {number} is not a JSON object; it is left unpriced", file=sys.stderr)
            yield {"id": None, "cost_usd": None, "price_source": "unknown", "price_ref": None, "reason": "invalid_usage"}, False
            continue
        answer, priced = price_case(book, case)
        if answer["reason"] == "invalid_usage":
            print(f"costspan: line {number} is left unpriced: {getattr(priced, 'detail', '')}", file=sys.stderr)
        yield answer, True


def _object(line: str) -> dict[str, Any] | None:
    try:
        case = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return case if isinstance(case, dict) else None


def _price_file(book: PriceBook, path: Path, *, as_json: bool) -> int:
    if str(path) == "-":
        return _print_lines(book, TextIOWrapper(sys.stdin.buffer, encoding="utf-8-sig", errors="replace"), as_json=as_json)
    try:
        lines = path.open(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror}); give a file with one JSON object per line"
        raise InputError(message) from None
    with lines:
        return _print_lines(book, lines, as_json=as_json)


def _print_lines(book: PriceBook, lines: TextIO, *, as_json: bool) -> int:
    all_readable = True
    for answer, readable in price_lines(book, lines):
        all_readable = all_readable and readable
        if as_json:
            print(json.dumps(answer))
            continue
        name = "-" if answer["id"] is None else clean(str(answer["id"]), ascii_only=True)
        if answer["cost_usd"] is None:
            print(f"{name}\tunknown\t{answer['reason']}")
        else:
            print(f"{name}\t{answer['cost_usd']}\t{clean(answer['price_ref'], ascii_only=True)} ({answer['price_source']})")
    return 0 if all_readable else 1


def _print_one(
    book: PriceBook, case: Mapping[str, Any], answer: Mapping[str, Any], priced: Cost | Unpriced, *, as_json: bool
) -> int:
    from costspan.records import Unpriced

    unknown = isinstance(priced, Unpriced)
    parts = {} if isinstance(priced, Unpriced) else {kind: plain(part) for kind, part in priced.by_type.items()}
    detail = priced.detail or priced.reason if isinstance(priced, Unpriced) else None
    if as_json:
        print(json.dumps({**answer, "by_cost_type": parts, "detail": detail}))
    elif unknown:
        print(f"no price: {detail}", file=sys.stderr)
    else:
        provider, name = book.canonical(case["provider"], case["model"])
        print(f"{provider}/{name}  ${answer['cost_usd']}  ({answer['price_source']}: {answer['price_ref']})")
        for kind, part in parts.items():
            print(f"  {kind:<18} ${part}")
    return 3 if unknown else 0
