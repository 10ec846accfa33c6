"""The figures of a report: each is what its name says, counted by hand from a small history."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.listeners.history import file as history_file
from multirouter.listeners.history.schema import ATTEMPTS, CALLS
from multirouter.report.latency_counts import Spread
from multirouter.report.model import Moves
from multirouter.report.open_circuits import Change, openings_in, trips_in
from multirouter.report.read_history import SLOTS, STEPS, read, step_for

BEGIN, END = 1000.0, 2000.0


def call(at: float, **changes: object) -> tuple[str, tuple[object, ...]]:
    """A call that its first choice answered, but for the changes."""
    known = {
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
        "diverted": 0,
        "cost": None,
        "first_cost": None,
    }
    assert tuple(known) == CALLS
    return "calls", tuple((known | changes).values())


def attempt(at: float, **changes: object) -> tuple[str, tuple[object, ...]]:
    """An attempt that was answered, but for the changes."""
    known = dict.fromkeys(ATTEMPTS) | {
        "at": at,
        "router": "r",
        "route": "default",
        "provider": "a",
        "role": "call",
        "kind": "success",
        "elapsed": 1.0,
        "late": 0,
    }
    return "attempts", tuple((known | changes).values())


def change(at: float, old: str, new: str, provider: str = "a", run: str = "x", reason: str = "why"):
    return Change(at, run, "r", provider, old, new, reason)


def report(tmp_path, *rows, router=None):
    """What a history of these rows says of the span."""
    connection = history_file.open_to_write(tmp_path / "h.db")
    history_file.add(connection, rows)
    try:
        return read(connection, BEGIN, END, router=router)
    finally:
        connection.close()


def test_the_headline(tmp_path):
    """Caught, rescued, diverted, seen, refused, left and own faults are told apart."""
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
        call(1300, provider="b", first_provider="b", diverted=1, cost=1.0),
        call(1400, result="failure", failures=2, first_kind="timeout"),
        call(1500, result="failure", failures=1, first_kind="request"),
        call(1600, result="refused", first_provider=None, first_kind=None, first_elapsed=None),
        call(1700, result="cancelled", first_kind="cancelled"),
        call(1800, result="fallback", failures=1, first_kind="server"),
        call(999.9, result="failure", first_kind="server"),
        call(2000.0),
    )
    head = found.head
    assert (head.calls, head.answered, head.substituted, head.cancelled) == (8, 3, 1, 1)
    assert (head.errors_seen, head.own_fault, head.refused) == (3, 1, 1)
    assert (head.failures_caught, head.rescued, head.diverted) == (2, 2, 1)
    assert head.failed_first == 5
    assert head.success == pytest.approx(3 / 6)
    assert (head.cost, head.cost_first, head.failover_cost) == (6.0, 7.0, -2.0)
    assert head.latency.p50 == pytest.approx(4.0, rel=0.01)
    assert head.latency.p99 == math.inf
    assert head.latency_first.p50 == math.inf
    assert found.before.calls == 1
    assert found.before.errors_seen == 1


def test_streams_are_timed_to_their_first_content(tmp_path):
    """Of a stream the first content counts, with failover and without."""
    found = report(tmp_path, call(1100, elapsed=90.0, first_content=0.5, first_elapsed=0.4))
    assert found.head.latency.p50 == pytest.approx(0.5, rel=0.01)
    assert found.head.latency_first.p50 == pytest.approx(0.4, rel=0.01)


def test_providers(tmp_path):
    """Shares are of the answers, success is without what was cut off, copies are left out."""
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
    assert (a.share, a.success) == (0.75, 0.5)
    assert (a.cost, a.tokens) == (1.5, (30, 15))
    assert list(a.failures.items()) == [("server", 2), ("timeout", 1)]
    assert (b.attempts, b.cost) == (1, None)
    assert b.latency.p99 == pytest.approx(2.0, rel=0.01)


def test_routers_of_one_file_are_told_apart(tmp_path):
    """Several routers' names stand before their routes'; one can be asked for alone."""
    rows = [call(1100), call(1200, router="s"), call(1300, router="s"), attempt(1100, router="s")]
    rows.append(("failovers", (1100.0, "s", "default", "a", "b", "server")))
    rows.append(("circuits", (1100.0, "x", "s", "a", "closed", "open", "failures", 60.0)))
    found = report(tmp_path, *rows)
    assert [each.route for each in found.routes] == ["s/default", "r/default"]
    assert found.providers[0].provider == "s/a"
    assert found.moves == [Moves("s/a", "s/b", "server", 1)]
    assert found.openings[0].provider == "s/a"
    assert found.head.trips == 1
    (alone,) = (report(tmp_path, router="r").routes,)
    assert [each.route for each in alone] == ["default"]
    assert report(tmp_path, router="r").openings == []


def test_the_time_line_holds_every_call(tmp_path):
    """The slots cover the span from its first call on, and together they are the head."""
    rows = [call(1100 + n * 7.0, result="failure" if n % 9 == 0 else "success") for n in range(100)]
    found = report(tmp_path, *rows)
    assert found.slots[0].at <= 1100.0 < found.slots[0].at + found.slot_seconds
    assert found.slots[-1].at + found.slot_seconds >= END
    assert sum(slot.at_once + slot.rescued for slot in found.slots) == found.head.answered
    assert sum(slot.failed for slot in found.slots) == found.head.errors_seen


@given(span=st.floats(1.0, 91 * 86_400.0 * (SLOTS - 2)))
def test_a_time_line_has_few_pieces(span):
    """Whatever the span, it is cut into at most `SLOTS` pieces of a round length."""
    step = step_for(span)
    assert step in STEPS
    assert span / step < SLOTS - 1


def test_an_empty_span(tmp_path):
    """Where nothing happened there are no figures, and nothing breaks."""
    found = report(tmp_path)
    assert found.head.calls == 0
    assert found.head.success is None
    assert (found.before, found.routes, found.providers, found.openings) == (None, [], [], [])
    assert found.head.latency.p99 is None


def test_openings_last_until_the_circuit_closes():
    """Failed trials prolong an opening; one that began before the span, or goes on, is in it."""
    changes = [
        change(500, "closed", "open"),
        change(900, "half_open", "closed"),
        change(950, "closed", "open"),
        change(1010, "open", "half_open"),
        change(1011, "half_open", "open"),
        change(1200, "half_open", "closed"),
        change(1900, "closed", "open", provider="b"),
    ]
    first, second = openings_in(changes, BEGIN, END, lambda _router, name: name)
    assert (first.provider, first.began, first.ended, first.reopened) == ("a", 950, 1200, 1)
    assert (second.provider, second.ended, second.reason) == ("b", None, "why")
    assert trips_in(changes, BEGIN, END) == 1


def test_openings_of_two_processes_are_two():
    """Each process's opening has its own end; a restart's closing ends that of the run before."""
    changes = [
        change(1000, "closed", "open", run="one"),
        change(1001, "closed", "open", run="two"),
        change(1010, "half_open", "closed", run="two"),
        change(1050, "half_open", "closed", run="three"),
        change(1060, "half_open", "closed", run="three"),
    ]
    found = openings_in(changes, BEGIN, END, lambda _router, name: name)
    assert [(opening.began, opening.ended) for opening in found] == [(1000, 1050), (1001, 1010)]


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=60), st.floats(0.01, 1.0))
def test_percentiles_are_exact_to_half_a_percent(latencies, share):
    """A percentile is that of the nearest rank, to within half a bucket."""
    spread = Spread()
    for latency in latencies:
        spread.add(latency)
    exact = sorted(latencies)[math.ceil(share * len(latencies) - 1e-9) - 1]
    assert spread.percentile(share) == pytest.approx(exact, rel=0.0051)


def test_what_never_came_is_slower_than_any():
    """With two of a hundred calls unanswered there is a p98, and no p99."""
    spread = Spread()
    for _ in range(98):
        spread.add(1.0)
    for _ in range(2):
        spread.add(math.inf)
    assert spread.percentile(0.98) == pytest.approx(1.0)
    assert spread.percentile(0.99) == math.inf
    assert Spread().percentile(0.5) is None


def test_a_head_can_be_compared(tmp_path):
    """Two equal histories have equal figures."""
    assert replace(report(tmp_path).head) == report(tmp_path).head
