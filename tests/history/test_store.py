"""Runs and calls on disk: sums that are the sums of what is there, whatever is written again."""

from __future__ import annotations

import random
from dataclasses import replace
from decimal import Decimal

import pytest

from costspan.errors import UsageError
from costspan.history import queries, run_queries, upkeep
from costspan.history.books import Entry
from costspan.history.database import Database
from costspan.history.rows import RunFilter, Sums
from costspan.history.store import Store
from costspan.records import MONEY
from history_parts import HOUR, START, entry, make_run


@pytest.fixture
def store(tmp_path):
    database = Database(tmp_path / "history.db")
    yield Store(database)
    database.close()


def ask(store, question, *args, **options):
    with store.database.reading() as db:
        return question(db, *args, **options)


def test_a_run_comes_back_whole(store):
    run = make_run()
    store.save([Entry(run)])
    row = ask(store, run_queries.find_run, run.id)
    assert ask(store, run_queries.load_run, row) == run
    assert (row.workflow, row.agents, row.tools, row.sums.calls) == ("pipeline", 1, 1, 2)


def test_sums_are_the_sums_of_the_runs(store):
    runs = [make_run(trace, at=trace * 5000, calls=trace % 4 + 1) for trace in range(1, 9)]
    store.save([Entry(run) for run in runs])
    total = ask(store, queries.total)
    assert total.calls == sum(run.totals.calls for run in runs)
    assert total.input_tokens == sum(run.totals.usage.input_tokens for run in runs)
    exact = sum((run.totals.cost_usd for run in runs), Decimal(0))
    assert abs(MONEY.subtract(total.cost_usd, exact)) <= Decimal("0.5e-9") * total.calls
    for keys in [("day",), ("hour",), ("model",), ("agent", "model"), ("service", "workflow", "day")]:
        groups = ask(store, queries.by, keys)
        assert queries.add(group.sums for group in groups) == total
    assert upkeep.check(store.database) == []


def test_writing_a_run_again_replaces_it(store):
    store.save([entry(calls=3)])
    store.save([entry(calls=2)])
    assert ask(store, queries.total).calls == 2
    assert ask(store, run_queries.count_runs) == 1
    (bill,) = ask(store, queries.tools)
    assert (bill.tool, bill.calls) == ("search", 1)
    assert upkeep.check(store.database) == []


def test_two_runs_of_different_traces_with_one_id_stay_two(store):
    one, other = make_run(1), replace(make_run(2), id=make_run(1).id)
    store.save([Entry(one), Entry(other)])
    store.save([Entry(other)])
    assert ask(store, run_queries.count_runs) == 2
    assert ask(store, queries.total).calls == 4


def test_any_order_of_writing_and_rewriting_gives_the_same_sums(store, tmp_path):
    rng = random.Random(3)
    versions = {trace: [entry(trace, at=trace * 900, calls=rng.randrange(1, 5)) for _ in range(3)] for trace in range(1, 7)}
    written = [(trace, version) for trace in versions for version in range(3)]
    rng.shuffle(written)
    last = {}
    for trace, version in written:
        store.save([versions[trace][version]])
        last[trace] = versions[trace][version]
    fresh = Store(Database(tmp_path / "other.db"))
    fresh.save(list(last.values()))
    assert ask(store, queries.by, ("hour", "agent", "model")) == ask(fresh, queries.by, ("hour", "agent", "model"))
    assert ask(store, queries.tools) == ask(fresh, queries.tools)
    assert upkeep.check(store.database) == []


def test_unknown_is_never_zero(store):
    store.save([entry(tokens=None)])
    total = ask(store, queries.total)
    assert (total.calls, total.missing_calls, total.input_tokens, total.cost_usd) == (2, 2, None, None)
    (gap,) = ask(store, run_queries.gaps)
    assert (gap.calls, gap.unpriced, gap.reason) == (2, False, "unknown")
    store.save([entry(2, model="no-such-model-9")])
    assert ask(store, queries.models)[0].sums.unpriced_calls == 2


def test_a_model_was_used_last_on_its_latest_day_whatever_price_row_was_used(store):
    store.save([entry(1, at=0, tokens=None), entry(2, at=48 * HOUR)])
    (row,) = ask(store, queries.models)
    assert (row.first_day, row.last_day) == ("2026-11-21", "2026-11-23")


def test_days_of_another_zone_are_cut_at_its_midnight(store):
    store.save([entry(1, at=0), entry(2, at=6 * HOUR)])
    utc = [group.key[0] for group in ask(store, queries.by, ("day",))]
    tokyo = [group.key[0] for group in ask(store, queries.by, ("day",), offset_hours=9)]
    assert (utc, tokyo) == (["2026-11-21", "2026-11-22"], ["2026-11-22"])


def test_ranges_and_names_narrow_the_sums(store):
    store.save([entry(1, at=0, model="gpt-4o"), entry(2, at=50 * HOUR, model="gpt-5-mini", calls=3)])
    second = 10**9
    assert ask(store, queries.total, since_ns=START + 48 * HOUR * second).calls == 3
    assert ask(store, queries.total, until_ns=START + 24 * HOUR * second).calls == 2
    assert ask(store, queries.total, where={"model": "gpt-4o"}).calls == 2
    assert ask(store, queries.total, where={"model": "nobody's"}) == Sums()
    with pytest.raises(UsageError, match="not 'colour'"):
        ask(store, queries.by, ("colour",))


def test_lists_filter_search_and_sort(store):
    store.save(
        [entry(1, name="alpha", calls=1), entry(2, at=100, name="beta_1", calls=3), entry(3, at=200, name="betax1", calls=2)]
    )

    def names(**where):
        return [row.workflow for row in ask(store, run_queries.runs, RunFilter(**where))]

    assert names() == ["betax1", "beta_1", "alpha"]
    assert names(text="beta_") == ["beta_1"]
    assert names(text="%") == []
    assert names(workflow="alpha", outcome="ok") == ["alpha"]
    assert names(agent="planner", model="gpt-5-mini") == ["betax1", "beta_1", "alpha"]
    assert names(model="other") == []
    assert [row.workflow for row in ask(store, run_queries.runs, sort="calls")] == ["beta_1", "betax1", "alpha"]
    assert ask(store, run_queries.find_run, "last").workflow == "betax1"
    assert ask(store, run_queries.find_run, f"{2:032x}"[:32]).workflow == "beta_1"
    with pytest.raises(UsageError, match="several runs"):
        ask(store, run_queries.find_run, "0")


def test_hostile_names_and_numbers_are_stored_or_unknown(store):
    nasty = "a\0b\ud800'; DROP TABLE runs; --" + "x" * 5000
    run = make_run(1)
    calls = tuple(replace(call, usage=replace(call.usage, input_tokens=10**30), started_ns=2**80) for call in run.calls)
    store.save([Entry(replace(run, workflow=nasty, id=nasty, calls=calls, started_ns=-5, ended_ns=2**90), nasty)])
    (row,) = ask(store, run_queries.runs)
    assert row.workflow.startswith("ab?'; DROP")
    assert ask(store, queries.total).calls == 2
    assert ask(store, queries.by, ("day",))


def test_cache_hits_are_no_calls(store):
    run = make_run(1)
    hit = replace(run.calls[1], cache_hit=True)
    store.save([Entry(replace(run, calls=(run.calls[0], hit)))])
    total = ask(store, queries.total)
    assert (total.calls, total.cache_hits, total.input_tokens) == (1, 1, 1000)


def test_money_is_rounded_half_to_even_once_a_call():
    from costspan.history.money import from_nano, to_nano

    assert [to_nano(Decimal(text)) for text in ("0.0000000005", "0.0000000015", "0.00000000151", "1e10", "NaN")] == [
        0,
        2,
        2,
        None,
        None,
    ]
    assert (to_nano(None), from_nano(None), from_nano(1_500_000_000)) == (None, None, Decimal("1.500000000"))


def test_a_page_can_tell_that_something_was_written(store):
    with store.database.reading() as db:
        before = queries.changed(db)
        assert queries.changed(db) == before
        store.save([entry()])
        assert queries.changed(db) != before
