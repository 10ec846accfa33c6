"""The merge of facts: any order, loss and duplication converges; what follows from the facts."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.core.sharing.beliefs import KEPT_EXPIRED, Beliefs, Outage
from multirouter.core.sharing.facts import MAX_CLOCK, Fact, Stamp, fact_from_data
from multirouter.core.sharing.quorum import Quorum
from multirouter.errors import ConfigurationError

ORIGINS = ("p", "q", "r")
QUORUM = Quorum()


def opening(
    *, answered: bool = True, host: str = "h", openings: int = 1, reason: str = "failures"
) -> list[Any]:
    return [reason, openings, 3, answered, host]


def word(origin: str, clock: int, left: float = 10.0, **more: Any) -> Fact:
    return Fact("open", "a", Stamp(clock, origin), opening(**more), left)


def closed(origin: str, clock: int) -> Fact:
    return Fact("closed", "a", Stamp(clock, origin))


def outage(beliefs: Beliefs, now: float = 0.0, *, processes: int = 4, **more: Any) -> Outage | None:
    more = {"hosts": 1, "closed": True, **more}
    return beliefs.outage("a", now, more.pop("quorum", QUORUM), processes, **more)


# ── the merge ───────────────────────────────────────────────────────────────────────────────────

_WRITES = st.lists(
    st.tuples(
        st.sampled_from(ORIGINS),
        st.sampled_from(["open", "closed", "cooldown", "hold", "weight", "revoked"]),
        st.sampled_from(["a", "b"]),
        st.integers(0, 3),
    ),
    max_size=12,
)


def _published(writes: list[tuple[str, Any, str, int]]) -> list[Fact]:
    """What processes publish that hear each other's facts only now and then."""
    processes = {origin: Beliefs(origin) for origin in ORIGINS}
    facts: list[Fact] = []
    for origin, kind, subject, heard in writes:
        for fact in facts[-heard:] if heard else ():
            processes[origin].merge(fact, 0.0)
        value = {"open": opening(), "cooldown": True, "hold": "open", "weight": 2.0}.get(kind)
        left = 10.0 if kind in {"open", "cooldown"} else math.inf
        facts.append(processes[origin].new_fact(kind, subject, value, 0.0, left))
    return facts


def _known(beliefs: Beliefs) -> set[tuple[Any, ...]]:
    return {(*fact.slot, fact.stamp) for fact in beliefs.live(0.0)}


@given(writes=_WRITES, data=st.data())
def test_the_merge_converges_in_any_order_with_loss_and_duplicates(
    writes: list[tuple[str, Any, str, int]], data: st.DataObject
) -> None:
    """Facts shuffled, doubled, and lost until they are sent again leave all with the same state."""
    facts = _published(writes)
    expected = Beliefs("expected")
    for fact in facts:
        expected.merge(fact, 0.0)
    beliefs = Beliefs("z")
    arrived = data.draw(st.lists(st.sampled_from(facts), max_size=20)) if facts else []
    for fact in [*arrived, *data.draw(st.permutations(facts))]:
        beliefs.merge(fact, 0.0)
    assert _known(beliefs) == _known(expected)
    assert outage(beliefs) == outage(expected)
    assert not any(beliefs.merge(fact, 0.0) for fact in facts)


@given(writes=_WRITES, data=st.data())
def test_the_merge_of_states_is_commutative_associative_and_idempotent(
    writes: list[tuple[str, Any, str, int]], data: st.DataObject
) -> None:
    """Three partial states merge into the same one in any grouping, and again into it."""
    facts = _published(writes)
    parts = [data.draw(st.lists(st.sampled_from(facts))) if facts else [] for _ in range(3)]

    def merged(*groups: list[Fact]) -> list[Fact]:
        beliefs = Beliefs("z")
        for group in groups:
            for fact in group:
                beliefs.merge(fact, 0.0)
        return list(beliefs.live(0.0))

    def stamps(state: list[Fact]) -> set[Any]:
        return {(fact.slot, fact.stamp) for fact in state}

    a, b, c = parts
    assert stamps(merged(a, b)) == stamps(merged(b, a))
    assert stamps(merged(merged(a, b), c)) == stamps(merged(a, merged(b, c)))
    assert stamps(merged(a, a)) == stamps(merged(a))


def test_a_copy_may_shorten_a_fact_and_not_lengthen_it() -> None:
    """A message that was long under way does not restart a duration."""
    beliefs = Beliefs("z")
    assert beliefs.merge(word("p", 1, 10.0), 0.0)
    assert not beliefs.merge(word("p", 1, 10.0), 5.0)
    assert [fact.left for fact in beliefs.live(5.0)] == [5.0]
    assert not beliefs.merge(word("p", 1, 1.0), 5.0)
    assert [fact.left for fact in beliefs.live(5.0)] == [1.0]


def test_an_expired_fact_is_kept_for_a_while() -> None:
    """A late copy is no news; later the fact is dropped, and what lasts never is."""
    beliefs = Beliefs("z")
    beliefs.merge(word("p", 1, 10.0), 0.0)
    beliefs.new_fact("hold", "a", "open", 0.0)
    beliefs.forget_expired(10.0 + KEPT_EXPIRED - 1)
    assert not beliefs.merge(word("p", 1, 10.0), 100.0)
    beliefs.forget_expired(10.0 + KEPT_EXPIRED)
    assert len(beliefs) == 1
    assert beliefs.setting("hold", "a") is not None
    assert beliefs.subjects("hold") == {"a"}


def test_own_and_lasting_facts_are_sent_again() -> None:
    """After the state was lost a process sends its own facts and what lasts, with what is left."""
    beliefs = Beliefs("z")
    beliefs.merge(word("p", 1), 0.0)
    beliefs.merge(Fact("hold", "a", Stamp(2, "p"), "open"), 0.0)
    beliefs.new_fact("cooldown", "b", True, 0.0, 10.0)
    sent = {(fact.kind, fact.left) for fact in beliefs.live(4.0, "z")}
    assert sent == {("hold", math.inf), ("cooldown", 6.0)}


def test_moving_to_another_clock_keeps_what_is_left() -> None:
    """Durations stay when the loop's clock is another one."""
    beliefs = Beliefs("z")
    beliefs.merge(word("p", 1, 10.0), 0.0)
    beliefs.shift(100.0)
    assert [fact.left for fact in beliefs.live(104.0)] == [6.0]


# ── outages ─────────────────────────────────────────────────────────────────────────────────────


def test_an_answered_failure_of_one_process_is_believed() -> None:
    """The provider itself said so: seconds, openings, reason and number of processes are known."""
    beliefs = Beliefs("z")
    beliefs.merge(word("p", 1, 10.0, openings=2), 0.0)
    assert outage(beliefs, 4.0) == Outage(True, 6.0, 2, "failures", 1)
    assert outage(beliefs, 10.0) is None
    assert outage(beliefs, quorum=Quorum(answered=False)) == Outage(False, 10.0, 2, "failures", 1)


def test_the_newest_of_believed_openings_says_for_how_long() -> None:
    """Of a suspicion the longest does."""
    beliefs = Beliefs("z")
    beliefs.merge(word("p", 1, 20.0, answered=False), 0.0)
    beliefs.merge(word("q", 2, 5.0, answered=False, reason="slow"), 0.0)
    assert outage(beliefs) == Outage(True, 5.0, 1, "slow", 2)
    assert outage(beliefs, quorum=Quorum(processes=3)) == Outage(False, 20.0, 1, "slow", 2)


def test_the_own_opening_counts_for_the_quorum_and_is_no_word_of_others() -> None:
    """Two processes agree when the own one is among them; alone it says nothing new."""
    beliefs = Beliefs("z")
    beliefs.new_fact("open", "a", opening(answered=False), 0.0, 10.0)
    assert outage(beliefs) is None
    beliefs.merge(word("p", 1, answered=False), 0.0)
    found = outage(beliefs)
    assert found is not None
    assert found.believed
    assert set(beliefs.openings("a", 0.0)) == {"p", "z"}


def test_a_closing_ends_the_openings_that_it_knew_of() -> None:
    """A later opening counts again, and an old one that arrives late does not."""
    beliefs = Beliefs("z")
    beliefs.merge(closed("q", 2), 0.0)
    beliefs.merge(word("p", 1), 0.0)
    assert outage(beliefs) is None
    beliefs.merge(word("p", 3), 0.0)
    assert outage(beliefs) is not None


def test_stamps_count_the_facts_of_a_process() -> None:
    """The first one is 1; each later one, and one after a fact that was read, is the next."""
    beliefs = Beliefs("z")
    assert beliefs.new_fact("hold", "a", "open", 0.0).stamp == Stamp(1, "z")
    assert beliefs.new_fact("hold", "b", "open", 0.0).stamp == Stamp(2, "z")
    beliefs.merge(word("p", 7), 0.0)
    assert beliefs.new_fact("hold", "c", "open", 0.0).stamp == Stamp(8, "z")


def test_a_half_open_circuit_needs_no_share_of_the_fleet() -> None:
    """Two of many processes that fail are believed where the own circuit is not closed."""
    beliefs = Beliefs("z")
    for name in ("p", "q"):
        beliefs.merge(word(name, 1, answered=False, host=name), 0.0)
    for closed_here, believed in ((True, False), (False, True)):
        found = beliefs.outage("a", 0.0, QUORUM, processes=1000, hosts=9, closed=closed_here)
        assert found is not None
        assert found.believed is believed


def test_cooldowns_of_others_only() -> None:
    """The longest of the others' counts, with whether it was a rate limit."""
    beliefs = Beliefs("z")
    assert beliefs.cooldown_left("a", 0.0) == (0.0, False)
    beliefs.new_fact("cooldown", "a", True, 0.0, 99.0)
    beliefs.merge(Fact("cooldown", "a", Stamp(1, "p"), True, 7.0), 0.0)
    beliefs.merge(Fact("cooldown", "a", Stamp(1, "q"), False, 5.0), 0.0)
    assert beliefs.cooldown_left("a", 1.0) == (6.0, True)


# ── the quorum ──────────────────────────────────────────────────────────────────────────────────


def _openings(*hosts: str, answered: bool = False) -> list[Any]:
    beliefs = Beliefs("z")
    for number, host in enumerate(hosts):
        beliefs.merge(word(f"p{number}", 1, answered=answered, host=host), 0.0)
    return list(beliefs.openings("a", 0.0).values())


@pytest.mark.parametrize(
    ("hosts", "processes", "machines", "closed", "reached"),
    [
        ("x", 4, 1, True, False),
        ("xx", 4, 1, True, True),  # all on one machine: processes count
        ("xx", 4, 2, True, False),  # two of one machine share its network
        ("xy", 4, 2, True, True),
        ("xy", 1000, 9, True, False),  # 50 of 1000 must agree
        ("xy", 1000, 9, False, True),  # a trial is made by few
        ("xy" * 25, 1000, 9, True, True),
        ("x", 1, 1, True, True),
    ],
)
def test_quorum(hosts: str, processes: int, machines: int, closed: bool, reached: bool) -> None:
    """Processes, machines and the share must agree; of a single process its own word is enough."""
    assert QUORUM.reached(_openings(*hosts), processes, machines, closed=closed) is reached


def test_an_answered_failure_needs_no_quorum() -> None:
    """Unless the quorum says so."""
    openings = _openings("x", answered=True)
    assert QUORUM.reached(openings, 1000, 9, closed=True)
    assert not Quorum(answered=False).reached(openings, 1000, 9, closed=True)


def test_invalid_quorum() -> None:
    """Ranges are checked at construction."""
    for name, value in (("processes", 0), ("share", 1.5), ("share", math.nan)):
        with pytest.raises(ConfigurationError, match=rf"^Quorum\.{name}: must be"):
            Quorum(**{name: value})


# ── facts as data ───────────────────────────────────────────────────────────────────────────────

_GOOD: list[list[Any]] = [
    ["open", "a", 1, "p", opening(), 5.0],
    ["closed", "a", 1, "p", None, None],
    ["failing", "a", 1, "p", 2, 2.0],
    ["cooldown", "a", 1, "p", True, 5],
    ["hold", "a", 1, "p", "metrics_only", None],
    ["hold", "a", 1, "p", "open", None],
    ["hold", "a", 1, "p", "closed", None],
    ["hold", "a", 1, "p", "disabled", None],
    ["cooldown", "a" * 500, 1, "p", True, 5],
    ["hold", "a", 1, "p", None, None],
    ["weight", "a", 1, "p", 2.5, None],
    ["weight", "a", 1, "p", None, None],
    ["revoked", "k", 1, "p", None, None],
]


@pytest.mark.parametrize("data", _GOOD, ids=lambda data: data[0])
def test_a_fact_survives_its_way(data: list[Any]) -> None:
    """A fact is the same after it was written and read."""
    fact = fact_from_data(data)
    assert fact is not None
    assert fact_from_data(fact.as_data()) == fact
    assert json.loads(json.dumps(fact.as_data(), allow_nan=False)) == fact.as_data()


def _changed(data: list[Any], at: int, value: Any) -> list[Any]:
    return [*data[:at], value, *data[at + 1 :]]


@pytest.mark.parametrize(
    "data",
    [
        None,
        "open",
        [],
        _GOOD[0][:-1],
        _changed(_GOOD[0], 0, "zeppelin"),
        _changed(_GOOD[0], 0, ["open"]),
        _changed(_GOOD[0], 1, ""),
        _changed(_GOOD[0], 1, "x" * 501),
        _changed(_GOOD[0], 2, -1),
        _changed(_GOOD[0], 2, True),
        _changed(_GOOD[0], 2, MAX_CLOCK + 1),
        _changed(_GOOD[0], 3, None),
        _changed(_GOOD[0], 4, None),
        _changed(_GOOD[0], 4, opening()[:-1]),
        _changed(_GOOD[0], 4, ["", 1, 1, True, "h"]),
        _changed(_GOOD[0], 4, ["x", 1.5, 1, True, "h"]),
        _changed(_GOOD[0], 4, ["x", 1, 1, "yes", "h"]),
        _changed(_GOOD[0], 4, ["x", 1, 1, True, 5]),
        _changed(_GOOD[0], 5, None),  # what has an end says when
        _changed(_GOOD[0], 5, -1.0),
        _changed(_GOOD[0], 5, "soon"),
        _changed(_GOOD[0], 5, math.nan),
        _changed(_GOOD[1], 4, 1),
        _changed(_GOOD[2], 4, "yes"),
        _changed(_GOOD[3], 4, "ajar"),
        _changed(_GOOD[3], 4, []),
        ["weight", "a", 1, "p", -1.0, None],
        ["weight", "a", 1, "p", math.inf, None],
        ["revoked", "a", 1, "p", "now", None],
    ],
)
def test_what_is_no_fact_is_ignored(data: Any) -> None:
    """Garbage, and facts of a later format, are no facts and no errors."""
    assert fact_from_data(data) is None
