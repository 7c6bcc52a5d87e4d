import datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xingping.periods import ratings_over_time


def days(first, number, step=1):
    start = datetime.date.fromisoformat(first)
    return [(start + datetime.timedelta(days=step * day)).isoformat() for day in range(number)]


def over(dates, stars=None):
    return ratings_over_time(dates, np.full(len(dates), 4.0) if stars is None else np.array(stars, dtype=float))


@pytest.mark.parametrize(
    ("dates", "unit", "names"),
    [
        (days("2016-03-07", 21), "week", ["2016-03-07", "2016-03-14", "2016-03-21"]),
        (days("2016-01-15", 340, 2), "month", [f"{2016 + month // 12}-{month % 12 + 1:02}" for month in range(23)]),
        (days("2010-01-01", 250, 13), "quarter", None),
        (days("2010-01-01", 5, 365), "year", ["2010", "2011", "2012", "2013"]),
    ],
)
def test_bins_suit_the_span_and_the_number(dates, unit, names):
    found = over(dates)
    assert found.unit == unit
    assert names is None or [period.name for period in found.periods] == names
    assert len(found.periods) <= 60
    assert sum(period.n for period in found.periods) == len(dates)


def test_months_by_hand_with_a_gap():
    dates = [*["2015-12-01"] * 200, *["2016-02-29"] * 100, *["2017-01-31"] * 3, None, "yesterday", "2016-02-30"]
    found = over(dates, [4] * 200 + [1, 3] * 50 + [5] * 3 + [1] * 3)
    assert (found.unit, found.undated) == ("month", 3)
    assert [period.name for period in found.periods][:3] == ["2015-12", "2016-01", "2016-02"]
    assert found.periods[0].start == "2015-12-01"
    assert found.periods[0].mean.value == 4
    assert found.periods[1].mean is None
    assert found.periods[2].mean.value == 2
    assert found.periods[2].mean.low < 2 < found.periods[2].mean.high
    assert (found.periods[-1].name, found.periods[-1].n) == ("2017-01", 3)
    assert found.periods[-1].mean.high - found.periods[-1].mean.low > 0.3  # three reviews are few, however equal


def test_quarters_have_their_names():
    found = over(days("2010-01-01", 300, 12))
    assert found.unit == "quarter"
    assert [period.name for period in found.periods][:2] == ["2010 Q1", "2010 Q2"]
    assert [period.start for period in found.periods][:2] == ["2010-01-01", "2010-04-01"]


def test_dates_far_from_the_others_are_taken_for_mistakes():
    found = over(["0001-01-01", *days("2015-01-01", 100), "9999-12-31"])
    assert found.undated == 2
    assert sum(period.n for period in found.periods) == 100


@pytest.mark.parametrize("dates", [[], [None], ["", "soon"]])
def test_without_dates_there_is_no_time(dates):
    found = over(dates)
    assert (found.unit, found.periods, found.undated) == ("", (), len(dates))


@settings(deadline=None)
@given(
    st.lists(st.none() | st.dates().map(str) | st.dates(datetime.date(2010, 1, 1), datetime.date(2012, 1, 1)).map(str))
)
def test_every_review_is_somewhere(dates):
    found = over(dates)
    assert sum(period.n for period in found.periods) + found.undated == len(dates)
    assert len(found.periods) <= 60
    assert [period.start for period in found.periods] == sorted({period.start for period in found.periods})
