"""One provider's door in the simplest words: what the real one is held against.

It keeps every result with its time and looks at all of them each time, where the real one keeps
counters. It shares no line with it, and has no table: what a state allows is said where it matters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from multirouter.core.settings.policies import CircuitPolicy

DRAW = 0.5
"""What chance says, each time."""


@dataclass(eq=False)
class Pass:
    """A permit as the model knows it; one of era -1 moves nothing."""

    generation: int
    trial: bool
    lease_until: float = math.inf
    issued_at: float = -math.inf
    lost: bool = False


class Door:
    """The model: state, era, permits and all that moves them.

    Attributes:
        now: the time, seconds.
        news: what the door must have told since this was last emptied.
    """

    def __init__(self, policy: CircuitPolicy, at_most: int | None) -> None:
        self.now = 0.0
        self.policy = policy
        self.at_most = at_most
        self.news: list[tuple[Any, ...]] = []
        self.state = "closed"
        self.generation = 0
        self.half_open_at = math.inf
        self.closed_at = -math.inf
        self.opened = self.passed = self.run = 0
        self.results: list[tuple[float, bool]] = []
        self.answers: list[tuple[float, bool]] = []
        self.trials: list[Pass] = []
        self.hold: str | None = None
        self.cooldown_until = -math.inf
        self.cooldowns = self.suspicions = 0
        self.in_flight = 0

    # ── asking ───────────────────────────────────────────────────────────────────────────────

    @property
    def seen(self) -> str:
        """The state as time has made it."""
        due = self.state == "open" and self.now >= self.half_open_at
        return "half_open" if due else self.state

    @property
    def out(self) -> int:
        """Trials that are under way and not given up for lost."""
        return sum(trial.lease_until > self.now for trial in self.trials)

    def rejection(self) -> str:
        """Why nobody may enter, in a word; an empty string when somebody may."""
        full = self.at_most is not None and self.in_flight >= self.at_most
        return self.refuses_by_health() or ("at its limit" if full else "")

    def refuses_by_health(self) -> str:
        """The same, whatever the load."""
        if self.hold == "open":
            return "held"
        if self.hold in (None, "closed") and self.now < self.cooldown_until:
            return "cooling down"
        if self.hold is not None or self.seen == "closed":
            return ""
        if self.seen == "open":
            return "open"
        return "trial" if self.passed + self.out >= self.policy.half_open_max_calls else ""

    def waits_for_more_than_time(self) -> bool:
        """Whether time alone will let nobody in: a hand or another attempt's end must."""
        full = self.at_most is not None and self.in_flight >= self.at_most
        endless = self.hold is None and self.state == "open" and self.half_open_at == math.inf
        return full or self.hold == "open" or endless

    # ── one attempt ──────────────────────────────────────────────────────────────────────────

    def begin(self, lease: float, *, panic: bool) -> Pass | None:
        if self.at_most is not None and self.in_flight >= self.at_most:
            return None
        refusal = self.refuses_by_health()
        if refusal and (refusal == "held" or not panic):
            return None
        self.in_flight += 1
        if self.hold == "disabled":
            return Pass(-1, False)
        self.settle()
        if self.state == "closed":
            return Pass(self.generation, False)
        if self.state == "open" or self.passed + self.out >= self.policy.half_open_max_calls:
            return Pass(-1, False)
        for trial in self.trials:
            trial.lost = trial.lease_until <= self.now
        self.trials = [trial for trial in self.trials if not trial.lost]
        self.trials.append(Pass(self.generation, True, self.now + lease, self.now))
        return self.trials[-1]

    def answered(self, ended: Pass, elapsed: float, *, slow: bool) -> bool:
        """Whether it counted."""
        self.cooldowns = self.suspicions = 0
        return self._leave(ended) and self._success(ended, elapsed, slow=slow)

    def failed(self, ended: Pass) -> bool:
        """Whether it counted."""
        self.suspicions = 0
        return self._leave(ended) and self._failure(ended)

    def alive(self, ended: Pass) -> bool:
        """An error that by the user's rule counts as a success; whether it counted."""
        self.suspicions = 0
        return self._leave(ended) and self._success(ended, 0.0, slow=False)

    def nothing(self, ended: Pass) -> bool:
        """Whether the permit was still good."""
        return self._leave(ended)

    def cooldown_started(self, ended: Pass, asked: float | None) -> bool:
        """Whether the permit was still good."""
        policy = self.policy
        if self.now >= self.cooldown_until:
            self.cooldowns += 1
        seconds = policy.cooldown * 2.0 ** max(0, self.cooldowns - 1)
        seconds = min(
            seconds, max(policy.cooldown, min(policy.max_open_duration, policy.max_cooldown))
        )
        if asked:
            seconds = min(asked, policy.max_cooldown)
        if self.now + seconds > self.cooldown_until:
            self.cooldown_until = self.now + seconds
            self.news.append(("cooldown_started", seconds, bool(asked)))
        return self._leave(ended)

    def tripped(self, ended: Pass, kind: str, asked: float | None, *, certain: bool) -> bool:
        """Whether it counted."""
        counts = self._leave(ended)
        self.suspicions += 1
        if not certain and self.suspicions == 1:
            return counts and self._failure(ended)
        seconds = max(self.policy.exhausted_duration, min(asked or 0.0, self.policy.max_cooldown))
        if counts and not ended.trial:
            self.results.append((self.now, True))
        if counts and (ended.trial or (self.hold != "closed" and self.state == "closed")):
            self._open(kind, seconds)
        return counts

    def renewed(self, living: Pass, lease: float) -> None:
        living.lease_until = self.now + lease

    def proven(self, living: Pass) -> None:
        if living.generation != self.generation or living.lost:
            living.lost = True
            return
        self.trials.remove(living)
        self._pass()
        living.trial, living.generation = False, self.generation

    def _leave(self, ended: Pass) -> bool:
        """Counts an attempt out; whether its result may still move anything."""
        self.in_flight -= 1
        good = ended.generation == self.generation and not ended.lost
        if good and ended.trial:
            self.trials.remove(ended)
        return good

    def _success(self, ended: Pass, elapsed: float, *, slow: bool) -> bool:
        if not slow:
            slow = self._too_slow(elapsed)
        if ended.trial and slow:
            self._open_again(ended)
        elif ended.trial:
            self._pass()
        elif slow and self.hold != "closed":
            if self.state == "closed":
                self._open("slow")
        else:
            self.run = 0
            self.results.append((self.now, False))
        return True

    def _too_slow(self, elapsed: float) -> bool:
        policy = self.policy
        if policy.slow_after is None:
            return False
        over = elapsed > policy.slow_after
        self.answers.append((self.now, over))
        if self.state == "half_open":
            return over
        slow, answers = self._counted(self.answers)
        return answers >= policy.minimum_calls and slow >= policy.slow_rate * answers

    def _failure(self, ended: Pass) -> bool:
        if ended.trial:
            self._open_again(ended)
            return True
        self.run += 1
        self.results.append((self.now, True))
        rule = self._rule_met()
        if rule and self.state == "closed" and self.hold != "closed":
            self._open(rule)
        return True

    def _rule_met(self) -> str:
        policy = self.policy
        failed, calls = self._counted(self.results)
        most, rate = policy.failures, policy.failure_rate
        if most is None and rate is None:
            rate = 0.5
            most = 3 if calls < 16 else math.floor(math.log2(calls))
        if most is not None and self.run >= most:
            return "failures"
        enough = calls >= policy.minimum_calls
        return "failure_rate" if rate is not None and enough and failed >= rate * calls else ""

    def _counted(self, results: list[tuple[float, bool]]) -> tuple[int, int]:
        """How many of the window's results are bad, and how many there are.

        Time is cut into tenths of the window; a result counts in its own and the nine after it.
        """
        tenth = self.policy.window / 10
        last = self.now // tenth
        inside = [bad for at, bad in results if last - at // tenth < 10]
        return sum(inside), len(inside)

    # ── states ───────────────────────────────────────────────────────────────────────────────

    def settle(self) -> None:
        """Time does its part."""
        if self.seen != self.state:
            self._turn("half_open", "timer")

    def _pass(self) -> None:
        self.passed += 1
        if self.state == "half_open" and self.passed >= self.policy.half_open_max_calls:
            self._turn("closed", "recovered")

    def _open(self, reason: str, seconds: float | None = None, *, by_hand: bool = False) -> None:
        policy = self.policy
        if self.state == "closed" and self.now - self.closed_at >= policy.window:
            self.opened = 0
        self.opened += not by_hand
        if seconds is None:
            longest = max(policy.open_duration, policy.max_open_duration)
            seconds = min(longest, policy.open_duration * policy.growth ** (self.opened - 1))
            if policy.growth == 1.0:
                seconds = policy.open_duration
            seconds *= 1.0 + DRAW * (policy.jitter or 0.0)
        self._turn("open", reason, seconds)

    def _open_again(self, failed: Pass) -> None:
        """The trial's own time is part of the rest, but for the shortest rest there is."""
        policy = self.policy
        self._open("trial_failed")
        rest = self.half_open_at - self.now
        self.half_open_at = max(failed.issued_at + rest, self.now + min(rest, policy.open_duration))
        self.news[-1] = (*self.news[-1][:-1], self.half_open_at - self.now)

    def _turn(self, new: str, reason: str, seconds: float = 0.0) -> None:
        self.generation += 1
        self.news.append(("circuit", self.state, new, reason, self.generation, seconds))
        self.state = new
        self.trials, self.passed, self.run = [], 0, 0
        self.half_open_at = self.now + seconds if new == "open" else math.inf
        if new == "closed":
            self.closed_at = self.now
            self.results, self.answers = [], []

    # ── hands ────────────────────────────────────────────────────────────────────────────────

    def hold_changed(self, hold: str | None) -> None:
        was, self.hold = self.hold, hold
        if was == hold:
            return
        if hold == "open":
            self.settle()
            self._open("held", math.inf, by_hand=True)
        elif hold == "closed":
            self.settle()
            if self.state != "closed":
                self._turn("closed", "held")
        elif was == "open":
            self._turn("half_open", "released")
        elif was == "closed":
            self.run, self.results, self.answers = 0, [], []
        self.news.append(("hold_changed", hold))

    def restored(self, reason: str, seconds: float, opened: int) -> None:
        if self.state == "closed":
            self._open(reason, seconds)
            self.opened = max(1, opened)

    def adopts(self, policy: CircuitPolicy, at_most: int | None) -> None:
        old, self.policy, self.at_most = self.policy, policy, at_most
        if policy.window != old.window:
            self.results = []
        if (policy.window, policy.slow_after) != (old.window, old.slow_after):
            self.answers = []
        self.passed = min(self.passed, policy.half_open_max_calls - 1)

    def moves(self, by: float) -> None:
        """To another clock."""
        self.now += by
        self.half_open_at += by
        self.closed_at += by
        self.cooldown_until += by
        self.results = [(at + by, bad) for at, bad in self.results]
        self.answers = [(at + by, bad) for at, bad in self.answers]
        for trial in self.trials:
            trial.lease_until += by
            trial.issued_at += by
