"""The figures of a report, against values counted by hand from a few rows."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.listeners.history import file as history_file
from multirouter.listeners.history.schema import ATTEMPTS, CALLS
from multirouter.report.latency_histogram import LatencyHistogram
from multirouter.report.model import FailoverCount
from multirouter.report.open_circuits import CircuitChange, count_trips, find_open_periods
from multirouter.report.reader import (
    MAX_INTERVALS,
    MAX_NAMES,
    OTHER,
    STEPS,
    interval_length,
    read_report,
)
from multirouter.report.tables import summary_table, tables

START, END = 1000.0, 2000.0


def call(at: float, **changes: object) -> tuple[str, tuple[object, ...]]:
    """A row of `calls`: answered by its first choice, with changes."""
    values = {
        "at": at,
        "router": "r",
        "route": "default",
        "result": "success",
        "provider": "a",
        "elapsed": 1.0,
        "first_content": None,
        "attempts": 1,
        "failures": 0,
        "failovers": 0,
        "first_provider": "a",
        "first_kind": "success",
        "first_elapsed": 1.0,
        "first_choice_unavailable": 0,
        "cost": None,
        "first_cost": None,
        "client_key": None,
        "input_tokens": None,
        "output_tokens": None,
        "operation": "chat",
    }
    assert tuple(values) == CALLS
    return "calls", tuple((values | changes).values())


def attempt(at: float, **changes: object) -> tuple[str, tuple[object, ...]]:
    """A row of `attempts`: successful, with changes."""
    values = dict.fromkeys(ATTEMPTS) | {
        "at": at,
        "router": "r",
        "route": "default",
        "provider": "a",
        "role": "call",
        "kind": "success",
        "elapsed": 1.0,
        "late": 0,
        "stalled": 0,
    }
    return "attempts", tuple((values | changes).values())


def change(at: float, old: str, new: str, provider: str = "a", run: str = "x") -> CircuitChange:
    return CircuitChange(at, run, "r", provider, old, new, "failures")


def report(tmp_path, *rows, router=None):
    """The report of a history file with these rows."""
    connection = history_file.open_to_write(tmp_path / "h.db")
    history_file.insert(connection, rows)
    try:
        return read_report(connection, START, END, router=router)
    finally:
        connection.close()


def test_the_summary(tmp_path):
    """Each figure of the summary counts its calls only."""
    found = report(
        tmp_path,
        call(1100, cost=2.0, first_cost=2.0),
        call(
            1200,
            provider="b",
            elapsed=4.0,
            attempts=3,
            failures=2,
            failovers=1,
            first_kind="server",
            cost=3.0,
            first_cost=5.0,
        ),
        call(1300, provider="b", first_provider="b", first_choice_unavailable=1, cost=1.0),
        call(1400, result="failure", failures=2, first_kind="timeout"),
        call(1500, result="failure", failures=1, first_kind="request"),
        call(1600, result="rejected", first_provider=None, first_kind=None, first_elapsed=None),
        call(1700, result="cancelled", first_kind="cancelled"),
        call(1800, result="fallback", failures=1, first_kind="server"),
        call(999.9, result="failure", first_kind="server"),
        call(2000.0),
    )
    summary = found.summary
    assert (summary.calls, summary.answered, summary.fallbacks, summary.cancelled) == (8, 3, 1, 1)
    assert (summary.errors, summary.request_errors, summary.rejected) == (3, 1, 1)
    assert (summary.masked_failures, summary.recovered) == (2, 2)
    assert summary.first_choice_unavailable == 1
    assert summary.diverted == 2
    assert summary.first_choice_failed == 5
    assert summary.success_rate == pytest.approx(3 / 6)
    assert (summary.cost, summary.first_choice_cost, summary.failover_cost) == (6.0, 7.0, -2.0)
    assert summary.latency.p50 == pytest.approx(4.0, rel=0.01)
    assert summary.latency.p99 == math.inf
    assert summary.first_choice_latency.p50 == math.inf
    assert found.previous.calls == 1
    assert found.previous.errors == 1


def test_the_table_of_a_month(tmp_path):
    """Failures caught, errors seen, p99 before and after, trips, diversity, cost: by hand.

    Of 200 calls 4 failed at `a` and were answered by `b` after 2 s, and 2 failed at both: without
    failover 6 errors, which are more than 1 %, so there is no p99. The
    answers are 194 and 4: 198² / (194² + 4²) is 1.04.
    """
    plain = {"cost": 0.01, "first_cost": 0.01}
    over = {"provider": "b", "elapsed": 2.0, "first_kind": "server", "first_elapsed": 0.5}
    lost = {"result": "failure", "provider": None, "first_kind": "overloaded", "failures": 2}
    found = report(
        tmp_path,
        *(call(1000 + n, **plain) for n in range(194)),
        *(call(1300 + n, **over, failures=1, cost=0.02, first_cost=0.01) for n in range(4)),
        *(call(1400 + n, **lost) for n in range(2)),
        ("circuits", (1350, "x", "r", "a", "closed", "open", "failures", 60.0)),
        ("circuits", (1410, "x", "r", "a", "open", "half_open", "timer", 0.0)),
        ("circuits", (1411, "x", "r", "a", "half_open", "open", "trial_failed", 120.0)),
    )
    assert summary_table(found.summary).rows == [
        ("calls answered", "99.0 %", "97.0 %"),
        ("failures masked", "4", "-"),
        ("first choice unavailable", "0", "-"),
        ("answered elsewhere", "4", "-"),
        ("errors", "2", "6"),
        ("p99 latency", "1.99 s", "no answer"),  # 2 s, to half a percent
        ("p50 latency", "1.00 s", "1.00 s"),
        ("circuit trips", "1", "-"),
        ("effective providers", "1.04", "-"),
        ("cost", "$2.02", "$1.98"),
    ]


def test_where_calls_were_answered(tmp_path):
    """Each provider's answers on each route, and how many the first choice did not give."""
    found = report(
        tmp_path,
        *(call(1000 + n) for n in range(3)),
        call(1100, provider="b", first_provider="a", first_kind="server"),
        *(call(1200, provider="b", first_provider="b", first_choice_unavailable=1) for _ in "xy"),
        call(1300, route="other", provider="b", first_provider="b"),
        call(1400, route="failing", result="failure", provider=None),
    )
    assert [(a.route, a.provider, a.answers, a.share, a.diverted) for a in found.answers] == [
        ("default", "a", 3, 0.5, 0),
        ("default", "b", 3, 0.5, 3),
        ("other", "b", 1, 1.0, 0),
    ]
    assert found.summary.diverted == 3


def test_model_stats(tmp_path):
    """Attempts, tokens and cost by model; an attempt without a known model is in none."""
    found = report(
        tmp_path,
        attempt(1100, model="large", cost=0.5, input_tokens=10, output_tokens=5),
        attempt(1100, model="large", kind="server"),
        attempt(1100, model="small", input_tokens=7),
        attempt(1100, model="small", elapsed=3.0),
        attempt(1100, provider="b", model="small", kind="cancelled"),
        attempt(1100),
    )
    large, small, other = (found.models[at] for at in (1, 0, 2))
    assert (large.provider, large.model, large.attempts, large.answers) == ("a", "large", 2, 1)
    assert (large.success_rate, large.cost) == (0.5, 0.5)
    assert (large.input_tokens, large.output_tokens) == (10, 5)
    assert (small.model, small.cost, small.input_tokens) == ("small", None, 7)
    assert small.latency.p99 == pytest.approx(3.0, rel=0.01)
    assert (other.provider, other.answers, other.success_rate) == ("b", 0, None)


def test_key_stats(tmp_path):
    """Calls, tokens and cost by client key, the most used first; calls without a key have a row."""
    found = report(
        tmp_path,
        call(1100, client_key="alice", cost=0.5, input_tokens=10, output_tokens=5),
        call(1200, client_key="alice", result="failure", first_kind="server", input_tokens=1),
        call(1300, client_key="bob", elapsed=3.0),
        call(1400),
        call(1500),
        call(1600),
    )
    none, alice, bob = found.keys
    assert (none.key, none.summary.calls, none.input_tokens) == (None, 3, 0)
    assert (alice.key, alice.summary.calls, alice.summary.errors) == ("alice", 2, 1)
    assert (alice.input_tokens, alice.output_tokens, alice.summary.cost) == (11, 5, 0.5)
    assert bob.summary.latency.p50 == pytest.approx(3.0, rel=0.01)
    keys = next(table for table in tables(found) if table.title == "Keys")
    assert [row[:2] for row in keys.rows] == [("-", "3"), ("alice", "2"), ("bob", "1")]


def test_without_keys_there_is_no_table_of_keys(tmp_path):
    """Calls of a program that names no keys."""
    found = report(tmp_path, call(1100))
    assert found.keys == []
    assert "Keys" not in {table.title for table in tables(found)}


def test_operation_stats(tmp_path):
    """Calls, tokens and cost by operation; rows of earlier versions are chats."""
    found = report(
        tmp_path,
        call(1100, operation="embeddings", cost=0.25, input_tokens=90),
        call(1200, operation="embeddings", result="failure", first_kind="server"),
        call(1300),
        call(1400, operation=None),
        call(1500, operation=None, elapsed=3.0),
    )
    chats, embeddings = found.operations
    assert (chats.operation, chats.summary.calls, chats.summary.cost) == ("chat", 3, None)
    assert (embeddings.operation, embeddings.summary.errors) == ("embeddings", 1)
    assert (embeddings.input_tokens, embeddings.summary.cost) == (90, 0.25)
    (rows,) = (table.rows for table in tables(found) if table.title == "Operations")
    assert [row[:3] for row in rows] == [("chat", "3", "100 %"), ("embeddings", "2", "50.0 %")]


def test_chats_alone_have_no_table_of_operations(tmp_path):
    """The table would repeat the summary."""
    found = report(tmp_path, call(1100), call(1200, operation=None))
    assert found.operations == []
    assert "Operations" not in {table.title for table in tables(found)}


def test_names_of_requests_have_a_bounded_number_of_rows(tmp_path):
    """Models that only clients name, and all but the most used models and keys, are one row."""
    extra = 5
    found = report(
        tmp_path,
        *(attempt(1100, model=f"typo-{n}", kind="not_found") for n in range(3)),
        *(attempt(1100, model=f"odd-{n}", kind="request") for n in range(4)),
        attempt(1100, model="down", kind="server"),
        attempt(1100, model="down", kind="server"),
        *(attempt(1100, model=f"real-{n}") for n in range(MAX_NAMES + extra)),
        *(call(1100, client_key=f"key-{n}") for n in range(MAX_NAMES + extra)),
    )
    names = {stats.model for stats in found.models}
    assert len(names) == len(found.models) == MAX_NAMES + 1
    assert {"down", OTHER} <= names
    other = next(stats for stats in found.models if stats.model == OTHER)
    assert (other.attempts, other.answers) == (3 + 4 + extra + 1, extra + 1)
    assert len(found.keys) == MAX_NAMES + 1
    assert next(s.summary.calls for s in found.keys if s.key == OTHER) == extra


def test_streams_are_timed_to_their_first_content(tmp_path):
    """The latency of a stream is that of its first content."""
    found = report(tmp_path, call(1100, elapsed=90.0, first_content=0.5, first_elapsed=0.4))
    assert found.summary.latency.p50 == pytest.approx(0.5, rel=0.01)
    assert found.summary.first_choice_latency.p50 == pytest.approx(0.4, rel=0.01)


def test_provider_stats(tmp_path):
    """Shares are of all answers; cancelled attempts and shadow copies do not count."""
    found = report(
        tmp_path,
        *(attempt(1000 + n, cost=0.5, input_tokens=10, output_tokens=5) for n in range(3)),
        attempt(1100, kind="server"),
        attempt(1100, kind="server"),
        attempt(1100, kind="timeout"),
        attempt(1100, kind="cancelled"),
        attempt(1100, provider="b", elapsed=50.0, first_content=2.0),
        attempt(1100, provider="b", role="shadow"),
        attempt(2100, provider="c"),
    )
    a, b = found.providers
    assert (a.provider, a.attempts, a.answers, a.cancelled) == ("a", 7, 3, 1)
    assert (a.share, a.success_rate) == (0.75, 0.5)
    assert (a.cost, a.input_tokens, a.output_tokens) == (1.5, 30, 15)
    assert list(a.failures.items()) == [("server", 2), ("timeout", 1)]
    assert (b.attempts, b.cost) == (1, None)
    assert b.latency.p99 == pytest.approx(2.0, rel=0.01)


def test_several_routers_in_a_file(tmp_path):
    """Names are prefixed with the router's, unless one router is selected."""
    rows = [call(1100), call(1200, router="s"), call(1300, router="s"), attempt(1100, router="s")]
    rows.append(("failovers", (1100.0, "s", "default", "a", "b", "server")))
    rows.append(("circuits", (1100.0, "x", "s", "a", "closed", "open", "failures", 60.0)))
    found = report(tmp_path, *rows)
    assert [each.route for each in found.routes] == ["s/default", "r/default"]
    assert found.providers[0].provider == "s/a"
    assert found.failovers == [FailoverCount("s/a", "s/b", "server", 1)]
    assert found.open_periods[0].provider == "s/a"
    assert found.summary.trips == 1
    assert [each.route for each in report(tmp_path, router="r").routes] == ["default"]
    assert report(tmp_path, router="r").open_periods == []


def test_the_timeline_has_every_call(tmp_path):
    """The intervals cover the period from its first call and add up to the summary."""
    rows = [call(1100 + n * 7.0, result="failure" if n % 9 == 0 else "success") for n in range(100)]
    found = report(tmp_path, *rows)
    assert found.timeline[0].start <= 1100.0 < found.timeline[0].start + found.interval_seconds
    assert found.timeline[-1].start + found.interval_seconds >= END
    assert (
        sum(each.first_choice + each.recovered for each in found.timeline) == found.summary.answered
    )
    assert sum(each.failed for each in found.timeline) == found.summary.errors


@given(period=st.floats(1.0, 91 * 86_400.0 * (MAX_INTERVALS - 2)))
def test_a_timeline_has_at_most_the_maximum_of_intervals(period):
    """Any period is divided into at most `MAX_INTERVALS` intervals of a round length."""
    step = interval_length(period)
    assert step in STEPS
    assert period / step < MAX_INTERVALS - 1


def test_an_empty_period(tmp_path):
    """Without rows all figures are 0 or None."""
    found = report(tmp_path)
    assert found.summary.calls == 0
    assert found.summary.success_rate is None
    assert (found.previous, found.routes, found.providers) == (None, [], [])
    assert found.open_periods == []
    assert found.summary.latency.p99 is None


def test_an_open_period_lasts_until_the_circuit_closes():
    """Failed trials prolong it; one that started before the period, or has not ended, counts."""
    changes = [
        change(500, "closed", "open"),
        change(900, "half_open", "closed"),
        change(950, "closed", "open"),
        change(1010, "open", "half_open"),
        change(1011, "half_open", "open"),
        change(1200, "half_open", "closed"),
        change(1900, "closed", "open", provider="b"),
    ]
    first, second = find_open_periods(changes, START, END, lambda _router, name: name)
    assert (first.provider, first.started, first.ended, first.failed_trials) == ("a", 950, 1200, 1)
    assert (second.provider, second.ended, second.reason) == ("b", None, "failures")
    assert count_trips(changes, START, END) == 1


def test_open_periods_are_separate_by_process():
    """Each process has its own period; after a restart, a closing ends that of the last run."""
    changes = [
        change(1000, "closed", "open", run="one"),
        change(1001, "closed", "open", run="two"),
        change(1010, "half_open", "closed", run="two"),
        change(1050, "half_open", "closed", run="three"),
        change(1060, "half_open", "closed", run="three"),
    ]
    found = find_open_periods(changes, START, END, lambda _router, name: name)
    assert [(period.started, period.ended) for period in found] == [(1000, 1050), (1001, 1010)]


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=60), st.floats(0.01, 1.0))
def test_percentiles_are_accurate_to_half_a_percent(latencies, share):
    """A percentile is the nearest rank, to half a bucket."""
    histogram = LatencyHistogram()
    for latency in latencies:
        histogram.add(latency)
    exact = sorted(latencies)[math.ceil(share * len(latencies) - 1e-9) - 1]
    assert histogram.percentile(share) == pytest.approx(exact, rel=0.0051)


def test_an_unanswered_call_is_slower_than_any_other():
    """With two of a hundred calls unanswered, the p99 is infinite."""
    histogram = LatencyHistogram()
    for _ in range(98):
        histogram.add(1.0)
    for _ in range(2):
        histogram.add(math.inf)
    assert histogram.percentile(0.98) == pytest.approx(1.0)
    assert histogram.percentile(0.99) == math.inf
    assert LatencyHistogram().percentile(0.5) is None


def test_equal_histories_have_equal_summaries(tmp_path):
    """Summaries compare by value."""
    assert report(tmp_path).summary == report(tmp_path).summary
