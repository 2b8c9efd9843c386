"""Usage split into token types that do not overlap, so that they can be priced, counted and added up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from costspan.records import Usage


def partition(usage: Usage) -> tuple[tuple[str, int], ...]:
    """(token type, tokens) pairs above zero, in the order of `conventions.TOKEN_TYPES`.

    The `input_*` pairs add up to `input_tokens` and the `output_*` pairs to `output_tokens`, exactly; a direction that
    is not known gives no pairs. Audio that was read from a cache is told twice by providers (as audio and as cached):
    it is counted as cache read. Raises ValueError with a short reason when the counts contradict each other or are
    not counts at all; nothing is ever clamped to fit.
    """
    return _plain(usage) or _input(usage) + _output(usage)


def _plain(usage: Usage) -> tuple[tuple[str, int], ...] | None:
    """What nearly every call is, text whose counts all fit, without a look at each; None for anything else."""
    taken, given = usage.input_tokens, usage.output_tokens
    read, write = usage.cache_read_tokens or 0, usage.cache_write_tokens or 0
    hour, reasoning = usage.cache_write_1h_tokens or 0, usage.reasoning_tokens or 0
    if (
        type(taken) is type(given) is type(read) is type(write) is type(hour) is type(reasoning) is int
        and read >= 0 <= hour <= write <= taken - read
        and 0 <= reasoning <= given
        and usage.input_audio_tokens is usage.output_audio_tokens is None
    ):
        return _above_zero(
            ("input_uncached", taken - read - write),
            ("input_cache_read", read),
            ("input_cache_write", write),
            ("output_visible", given - reasoning),
            ("output_reasoning", reasoning),
        )
    return None


def _input(usage: Usage) -> tuple[tuple[str, int], ...]:
    total = count(usage.input_tokens, "input")
    read = count(usage.cache_read_tokens, "cache read") or 0
    write = count(usage.cache_write_tokens, "cache write") or 0
    hour = count(usage.cache_write_1h_tokens, "1-hour cache write") or 0
    audio = count(usage.input_audio_tokens, "input audio") or 0
    if hour > write:
        message = f"1-hour cache write tokens ({hour}) exceed all cache write tokens ({write})"
        raise ValueError(message)
    if total is None:
        _nothing_without(read + write + audio, "input")
        return ()
    fresh = total - read - write
    if fresh < 0 or audio > total:
        message = f"cache read ({read}), cache write ({write}) or audio ({audio}) exceed input tokens ({total})"
        raise ValueError(message)
    audio = min(audio, fresh)
    return _above_zero(
        ("input_uncached", fresh - audio), ("input_cache_read", read), ("input_cache_write", write), ("input_audio", audio)
    )


def _output(usage: Usage) -> tuple[tuple[str, int], ...]:
    total = count(usage.output_tokens, "output")
    reasoning = count(usage.reasoning_tokens, "reasoning") or 0
    audio = count(usage.output_audio_tokens, "output audio") or 0
    if total is None:
        _nothing_without(reasoning + audio, "output")
        return ()
    visible = total - reasoning - audio
    if visible < 0:
        message = f"reasoning ({reasoning}) and audio ({audio}) exceed output tokens ({total})"
        raise ValueError(message)
    return _above_zero(("output_visible", visible), ("output_reasoning", reasoning), ("output_audio", audio))


def count(value: object, what: str) -> int | None:
    """`value` if it is a count of tokens (an int of at least 0) or None; raises ValueError for anything else."""
    if value is None:
        return None
    if type(value) is not int:
        message = f"{what} tokens are {value!r:.40}, not a whole number"
        raise ValueError(message)
    if value < 0:
        message = f"{what} tokens are negative ({value})"
        raise ValueError(message)
    return value


def _nothing_without(parts: int, direction: str) -> None:
    if parts:
        message = f"parts of the {direction} tokens are known, their total is not"
        raise ValueError(message)


def _above_zero(*pairs: tuple[str, int]) -> tuple[tuple[str, int], ...]:
    return tuple([pair for pair in pairs if pair[1]])
