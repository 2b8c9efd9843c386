from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costspan import conventions
from costspan.normalise.partition import partition
from costspan.records import NO_USAGE, Usage

COUNT = st.integers(0, 2_000_000)


def test_every_token_lands_in_exactly_one_type():
    usage = Usage(1000, 500, cache_read_tokens=300, cache_write_tokens=200, reasoning_tokens=100, input_audio_tokens=50)
    assert partition(usage) == (
        ("input_uncached", 450),
        ("input_cache_read", 300),
        ("input_cache_write", 200),
        ("input_audio", 50),
        ("output_visible", 400),
        ("output_reasoning", 100),
    )


def test_types_without_tokens_are_left_out_and_unknown_directions_too():
    assert partition(Usage(0, 0)) == ()
    assert partition(NO_USAGE) == ()
    assert partition(Usage(None, 7)) == (("output_visible", 7),)


def test_cached_audio_is_counted_once():
    assert partition(Usage(1000, 0, cache_read_tokens=500, input_audio_tokens=800)) == (
        ("input_cache_read", 500),
        ("input_audio", 500),
    )


@pytest.mark.parametrize(
    "usage",
    [
        Usage(100, 1, cache_read_tokens=101),
        Usage(100, 1, cache_read_tokens=60, cache_write_tokens=60),
        Usage(100, 1, cache_write_tokens=10, cache_write_1h_tokens=11),
        Usage(100, 1, input_audio_tokens=101),
        Usage(100, 10, reasoning_tokens=6, output_audio_tokens=5),
        Usage(-1, 10),
        Usage(True, 10),
        Usage("100", 10),  # type: ignore[arg-type]
        Usage(10.0, 10),  # type: ignore[arg-type]
        Usage(None, 10, cache_read_tokens=5),
        Usage(10, None, reasoning_tokens=5),
    ],
    ids=str,
)
def test_counts_that_contradict_each_other_are_refused_not_clamped(usage):
    with pytest.raises(ValueError, match="tokens"):
        partition(usage)


@given(parts=st.lists(COUNT, min_size=7, max_size=7), hour=COUNT)
def test_the_types_add_up_to_the_inclusive_totals(parts, hour):
    fresh, read, write, audio, visible, reasoning, spoken = parts
    usage = Usage(
        input_tokens=fresh + read + write + audio,
        output_tokens=visible + reasoning + spoken,
        cache_read_tokens=read,
        cache_write_tokens=write,
        cache_write_1h_tokens=min(hour, write),
        reasoning_tokens=reasoning,
        input_audio_tokens=audio,
        output_audio_tokens=spoken,
    )
    split = partition(usage)
    names = [name for name, _ in split]
    assert names == [name for name in conventions.TOKEN_TYPES if name in names]
    assert sum(n for name, n in split if name.startswith("input_")) == usage.input_tokens
    assert sum(n for name, n in split if name.startswith("output_")) == usage.output_tokens


@given(values=st.lists(st.one_of(st.none(), st.integers(-5, 50), st.booleans()), min_size=8, max_size=8))
def test_any_usage_either_adds_up_or_is_refused(values):
    fields = [field.name for field in dataclasses.fields(Usage)][:8]
    usage = Usage(**dict(zip(fields, values, strict=True)))
    try:
        split = partition(usage)
    except ValueError:
        return
    assert sum(n for _, n in split) == (usage.input_tokens or 0) + (usage.output_tokens or 0)
    assert all(n > 0 for _, n in split)
