from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.resources import files

from costspan.price import table
from costspan.price.book import PriceBook
from costspan.price.overlay import shipped
from costspan.price.rates import Rates
from costspan.price.rows import decode, read_row
from costspan.price.schedule import to_ns

NOW_NS = to_ns(datetime(2026, 11, 20, tzinfo=UTC))
RAW = decode(files("costspan.price").joinpath("overlay.json").read_text(encoding="utf-8"))


def test_every_shipped_price_has_a_source_and_can_be_read():
    for raw in RAW["prices"]:
        assert raw["source"].startswith("https://"), raw
        read_row(raw)
    assert all(tier["source"].startswith("https://") for tier in RAW["tiers"])


def test_no_two_rows_tell_two_prices_for_one_moment():
    def names(raw):
        return raw["model"] if isinstance(raw["model"], list) else [raw["model"]]

    keys = Counter(
        (raw["provider"], name, raw.get("from"), raw.get("tier"), raw.get("during"))
        for raw in RAW["prices"]
        for name in names(raw)
    )
    assert [key for key, times in keys.items() if times > 1] == []


def test_providers_are_named_as_the_book_names_them():
    from costspan.normalise.model_id import canonical_provider

    named = {raw["provider"] for part in ("prices", "tiers", "no_price") for raw in RAW[part]} | set(RAW["windows"])
    assert {name: canonical_provider(name) for name in named} == {name: name for name in named}


def test_the_holidays_cover_the_year_of_the_list():
    year = date.fromisoformat(RAW["as_of"]).year
    assert {date.fromisoformat(day).year for day in RAW["holidays"]["cn"]} == {year}


def test_schedules_are_there_for_every_row_that_needs_one():
    used = {row.during for rows in shipped().rows.values() for row in rows if row.during}
    assert used <= set(shipped().schedules)


def test_no_shipped_pattern_takes_another_model_whose_name_goes_on_with_a_word():
    book, taken = PriceBook(), []
    for raw in RAW["prices"]:
        for name in raw["model"] if isinstance(raw["model"], list) else [raw["model"]]:
            if name == "*:free" or (name.startswith("ft:") and name.endswith(":*")):
                continue  # any model may be free at OpenRouter, any word may end a fine-tuned model's name
            stem = name.rstrip("*").removesuffix("[0-9]").rstrip("-@:")
            taken += [word for word in (f"{stem}-ultra", f"my-{stem}") if isinstance(book.rates(raw["provider"], word, 0), Rates)]
    assert taken == []


def test_shipped_prices_are_as_providers_write_them_without_the_rests_of_binary_fractions():
    def numbers(value):
        if isinstance(value, dict | list):
            for inner in value.values() if isinstance(value, dict) else value:
                yield from numbers(inner)
        elif isinstance(value, Decimal):
            yield value

    assert [str(price) for price in numbers(RAW) if price != round(price, 6)] == []


def test_a_shipped_row_has_the_fees_that_the_table_has_for_its_model():
    lost = []
    for who, rows in shipped().rows.items():
        for row in rows:
            found = table.find(who or "", row.names[0])
            at_ns = min(row.until_ns - 1, max(row.since_ns, NOW_NS))
            listed = table.rates(found, at_ns, None)[0] if found is not None else None
            lost += [(who, row.names[0], fee) for fee in (listed.fees if listed is not None else ()) if fee not in row.fees]
    assert lost == []
