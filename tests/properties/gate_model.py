"""Simple model of one provider's gate, which the real gate is compared with.

It keeps every result with its time and evaluates all of them each time, where the real one keeps
counters. It shares no code with it, and has no transition table: each state's rules stand where
they apply.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from multirouter.core.settings.policies import CircuitPolicy

RANDOM = 0.5
"""Every random number."""


@dataclass(eq=False)
class ModelPermit:
    """A permit of the model; one of generation -1 changes nothing."""

    generation: int
    trial: bool
    lease_until: float = math.inf
    issued_at: float = -math.inf
    lost: bool = False
    delivering: bool = False


class GateModel:
    """The model: state, generation, permits and everything that changes them.

    Attributes:
        now: the time, seconds.
        events: events that the gate must have posted since this was last emptied.
    """

    def __init__(self, policy: CircuitPolicy, max_in_flight: int | None) -> None:
        self.now = 0.0
        self.policy = policy
        self.max_in_flight = max_in_flight
        self.events: list[tuple[Any, ...]] = []
        self.state = "closed"
        self.generation = 0
        self.half_open_at = math.inf
        self.closed_at = -math.inf
        self.opened = self.passed = self.run = 0
        self.results: list[tuple[float, bool]] = []
        self.answers: list[tuple[float, bool]] = []
        self.trials: list[ModelPermit] = []
        self.hold: str | None = None
        self.cooldown_until = -math.inf
        self.cooldowns = self.suspicions = 0
        self.cooldown_chance = 0.0
        self.in_flight = 0

    # ── state and rejection ─────────────────────────────────────────────────────────────────────

    @property
    def current_state(self) -> str:
        """The state at `now`, a due half-open timer included."""
        due = self.state == "open" and self.now >= self.half_open_at
        return "half_open" if due else self.state

    @property
    def trials_in_flight(self) -> int:
        """Trials that are in flight and whose lease has not ended."""
        return sum(trial.lease_until > self.now for trial in self.trials)

    def rejection(self) -> str:
        """Why no attempt may start, in a word; an empty string when one may."""
        full = self.max_in_flight is not None and self.in_flight >= self.max_in_flight
        return self.health_rejection() or ("at its limit" if full else "")

    def health_rejection(self) -> str:
        """The same, whatever the load."""
        if self.hold == "open":
            return "held"
        if self.hold in (None, "closed") and self.now < self.cooldown_until:
            return "cooling down"
        if self.hold is not None or self.current_state == "closed":
            return ""
        if self.current_state == "open":
            return "open"
        return "trial" if self.trials_decide() else ""

    def trials_decide(self) -> bool:
        """Whether a half-open circuit admits no further trial."""
        return self.passed + self.trials_in_flight >= self.policy.half_open_max_calls

    def may_join(self) -> bool:
        """Whether a call that no other provider can serve is admitted beside the trials."""
        alive = [trial for trial in self.trials if trial.lease_until > self.now]
        if not alive or not self.policy.half_open_wait:
            return False
        seconds = math.floor(max(self.now - trial.issued_at for trial in alive))
        delivering = len([trial for trial in alive if trial.delivering])
        most = self.policy.half_open_max_calls + self.passed + seconds + 2 * delivering
        return len(alive) < most

    def needs_more_than_time(self) -> bool:
        """Whether time alone admits no attempt: a release or another attempt's end must."""
        full = self.max_in_flight is not None and self.in_flight >= self.max_in_flight
        endless = self.hold is None and self.state == "open" and self.half_open_at == math.inf
        half_open = self.hold is None and self.current_state == "half_open"
        return full or self.hold == "open" or endless or (half_open and self.trials_decide())

    # ── one attempt ─────────────────────────────────────────────────────────────────────────────

    def begin(self, lease: float, *, panic: bool, join: bool) -> ModelPermit | None:
        if self.max_in_flight is not None and self.in_flight >= self.max_in_flight:
            return None
        rejection = self.health_rejection()
        decide = self.current_state == "half_open" and self.trials_decide()
        join = join and decide and self.may_join()
        if rejection and (rejection == "held" or not panic) and not (join and rejection == "trial"):
            return None
        self.in_flight += 1
        if self.hold == "disabled":
            return ModelPermit(-1, False)
        self.settle()
        if self.state == "closed":
            return ModelPermit(self.generation, False)
        if not join and (self.state == "open" or self.trials_decide()):
            return ModelPermit(-1, False)
        for trial in self.trials:
            trial.lost = trial.lease_until <= self.now
        self.trials = [trial for trial in self.trials if not trial.lost]
        self.trials.append(ModelPermit(self.generation, True, self.now + lease, self.now))
        return self.trials[-1]

    def answered(self, permit: ModelPermit, elapsed: float, *, slow: bool) -> bool:
        """Whether it counted."""
        self.cooldowns = self.suspicions = 0
        return self._release(permit) and self._success(permit, elapsed, slow=slow)

    def failed(self, permit: ModelPermit, retry_after: float | None) -> bool:
        """Whether it counted."""
        self.suspicions = 0
        if retry_after:
            self._cool_down(min(retry_after, self.policy.max_cooldown), named=True)
        return self._release(permit) and self._failure(permit)

    def counted_as_success(self, permit: ModelPermit) -> bool:
        """An error that counts as a success by the user's rule; whether it counted."""
        self.suspicions = 0
        return self._release(permit) and self._success(permit, 0.0, slow=False)

    def neutral(self, permit: ModelPermit) -> bool:
        """Whether the permit was still valid."""
        return self._release(permit)

    def cooldown_started(self, permit: ModelPermit, retry_after: float | None) -> bool:
        """Whether the permit was still valid."""
        policy = self.policy
        if self.now >= self.cooldown_until:
            self.cooldowns += 1
            self.cooldown_chance = RANDOM
        seconds = policy.cooldown * 2.0 ** max(0, self.cooldowns - 1)
        seconds = min(seconds, max(policy.cooldown, policy.max_open_duration))
        seconds *= 1.0 + self.cooldown_chance * (policy.jitter or 0.0)
        seconds = min(retry_after or seconds, policy.max_cooldown)
        self._cool_down(seconds, named=bool(retry_after))
        return self._release(permit)

    def _cool_down(self, seconds: float, *, named: bool) -> None:
        if self.now + seconds > self.cooldown_until:
            self.cooldown_until = self.now + seconds
            self.events.append(("cooldown_started", seconds, named))

    def tripped(
        self, permit: ModelPermit, kind: str, retry_after: float | None, *, certain: bool
    ) -> bool:
        """Whether it counted."""
        counts = self._release(permit)
        self.suspicions += 1
        if not certain and self.suspicions == 1:
            return counts and self._failure(permit)
        seconds = max(
            self.policy.exhausted_duration, min(retry_after or 0.0, self.policy.max_cooldown)
        )
        if counts and not permit.trial:
            self.results.append((self.now, True))
        if counts and (permit.trial or (self.hold != "closed" and self.state == "closed")):
            self._open(kind, seconds)
        return counts

    def renew(self, permit: ModelPermit, lease: float) -> None:
        permit.lease_until = self.now + lease

    def pass_trial(self, permit: ModelPermit) -> None:
        if permit.generation != self.generation or permit.lost:
            permit.lost = True
            return
        self.trials.remove(permit)
        self._pass()
        permit.trial, permit.generation = False, self.generation

    def _release(self, permit: ModelPermit) -> bool:
        """Counts an attempt as ended; returns whether its result may still change anything."""
        self.in_flight -= 1
        valid = permit.generation == self.generation and not permit.lost
        if valid and permit.trial:
            self.trials.remove(permit)
        return valid

    def _success(self, permit: ModelPermit, elapsed: float, *, slow: bool) -> bool:
        if not slow:
            slow = self._too_slow(elapsed)
        if permit.trial and slow:
            self._open_again(permit)
        elif permit.trial:
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
        slow, answers = self._window_counts(self.answers)
        return answers >= policy.minimum_calls and slow >= policy.slow_rate * answers

    def _failure(self, permit: ModelPermit) -> bool:
        if permit.trial:
            self._open_again(permit)
            return True
        self.run += 1
        self.results.append((self.now, True))
        rule = self._rule_met()
        if rule and self.state == "closed" and self.hold != "closed":
            self._open(rule)
        return True

    def _rule_met(self) -> str:
        policy = self.policy
        failed, calls = self._window_counts(self.results)
        failures, rate = policy.failures, policy.failure_rate
        if failures is None and rate is None:
            rate = 0.5
            failures = 3 if calls < 16 else math.floor(math.log2(calls))
        if failures is not None and self.run >= failures:
            return "failures"
        enough = calls >= policy.minimum_calls
        return "failure_rate" if rate is not None and enough and failed >= rate * calls else ""

    def _window_counts(self, results: list[tuple[float, bool]]) -> tuple[int, int]:
        """Number of bad results in the window, and of all results.

        Time is cut into tenths of the window; a result counts in its own and the nine after it.
        """
        tenth = self.policy.window / 10
        last = self.now // tenth
        inside = [bad for at, bad in results if last - at // tenth < 10]
        return sum(inside), len(inside)

    # ── states ──────────────────────────────────────────────────────────────────────────────────

    def settle(self) -> None:
        """Applies a due half-open timer."""
        if self.current_state != self.state:
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
            seconds *= 1.0 + RANDOM * (policy.jitter or 0.0)
        self._turn("open", reason, seconds)

    def _open_again(self, failed: ModelPermit) -> None:
        """The trial's own time is part of the open duration, but for a minimum."""
        policy = self.policy
        self._open("trial_failed")
        duration = self.half_open_at - self.now
        self.half_open_at = max(
            failed.issued_at + duration, self.now + min(duration, policy.open_duration)
        )
        self.events[-1] = (*self.events[-1][:-1], self.half_open_at - self.now)

    def _turn(self, new: str, reason: str, seconds: float = 0.0) -> None:
        self.generation += 1
        self.events.append(("circuit", self.state, new, reason, self.generation, seconds))
        self.state = new
        self.trials, self.passed, self.run = [], 0, 0
        self.half_open_at = self.now + seconds if new == "open" else math.inf
        if new == "closed":
            self.closed_at = self.now
            self.results, self.answers = [], []

    # ── holds, configuration, clock ─────────────────────────────────────────────────────────────

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
        self.events.append(("hold_changed", hold))

    def restored(self, reason: str, seconds: float, opened: int) -> None:
        if self.state != "open" and not self.trials_in_flight:
            self._open(reason, seconds)
            self.opened = max(1, opened)

    def apply(self, policy: CircuitPolicy, max_in_flight: int | None) -> None:
        old, self.policy, self.max_in_flight = self.policy, policy, max_in_flight
        if policy.window != old.window:
            self.results = []
        if (policy.window, policy.slow_after) != (old.window, old.slow_after):
            self.answers = []
        self.passed = min(self.passed, policy.half_open_max_calls - 1)

    def shift(self, by: float) -> None:
        """Moves to another clock."""
        self.now += by
        self.half_open_at += by
        self.closed_at += by
        self.cooldown_until += by
        self.results = [(at + by, bad) for at, bad in self.results]
        self.answers = [(at + by, bad) for at, bad in self.answers]
        for trial in self.trials:
            trial.lease_until += by
            trial.issued_at += by
