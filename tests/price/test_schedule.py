from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from hypothesis import given
from hypothesis import strategies as st

from costspan.price.schedule import Schedule, moment, period, to_ns

OFFICE = Schedule(
    ((time(1), time(4)), (time(6), time(10))), weekdays_only=True, holidays=frozenset({date(2026, 10, 1)}), utc_offset_hours=8
)
NIGHT = Schedule(((time(16, 30), time(0, 30)),))
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def at(*when):
    return to_ns(datetime(*when, tzinfo=UTC))


def test_a_window_past_midnight_belongs_to_the_evening_it_starts_in():
    assert NIGHT.active(at(2025, 3, 1, 23))
    assert NIGHT.active(at(2025, 3, 2, 0, 29, 59))
    assert not NIGHT.active(at(2025, 3, 2, 0, 30))
    assert not NIGHT.active(at(2025, 3, 2, 16, 29))


def test_weekends_and_holidays_are_those_of_the_place():
    east = Schedule(((time(17), time(20)),), weekdays_only=True, utc_offset_hours=8)
    assert east.active(at(2026, 11, 15, 18))  # Sunday in Greenwich, Monday 02:00 in Beijing
    assert not east.active(at(2026, 11, 20, 18))  # Friday in Greenwich, Saturday in Beijing
    assert not OFFICE.active(at(2026, 10, 1, 2))


@given(when=MOMENTS, schedule=st.sampled_from([OFFICE, NIGHT]))
def test_nothing_changes_between_two_edges(when, schedule):
    now = to_ns(when)
    since, until = period(schedule.edges(now), now)
    assert since <= now < until
    assert until - since <= to_ns(moment(0) + timedelta(days=2))
    for probe in (since, (since + until) // 2, until - 1):
        assert schedule.active(probe) == schedule.active(now)
