"""A provider that answers and fails to order, deterministically, in virtual or real time."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError
from multirouter.testing.faults import Fault, FaultKind, Outage, as_fault
from multirouter.testing.latency import Latency, as_latency
from multirouter.testing.virtual_time.sleep import now, sleep


@dataclass(frozen=True, slots=True)
class Answer:
    """A step of a script that succeeds.

    Attributes:
        value: the answer; None: the provider's usual one.
        after: seconds it takes; None: the provider's usual latency.
    """

    value: Any = None
    after: float | None = None


Step = Answer | Fault | FaultKind | BaseException
"""One attempt of a script: an answer, a fault or the name of its kind, or what is raised."""


class Asked(NamedTuple):
    """One attempt, as the provider saw it begin: loop time in seconds, and the request."""

    at: float
    request: Any


_PLAIN = Answer()


class ScriptedProvider:
    """Plays a provider: `Provider("a", scripted)` or `Provider("a", stream=scripted.stream)`.

    What befalls an attempt: the next step of `script` while there are steps; else the first of
    `outages` that is under way and strikes; else an error with probability `error_rate`; else an
    answer. The same seed and the same order of attempts give the same run.

    Attributes:
        name: its name, which is also the default seed.
        count: attempts begun.
        in_flight: attempts under way.
        most_in_flight: the highest `in_flight` so far.
        ended: how many attempts ended as `answer`, as an exception (by its class name) or as
            `cancelled`.
        asked: the latest attempts, as `Asked`, oldest first.
        error_rate, outages: may be changed at any time.

    Args:
        name: its name.
        latency: seconds an answer takes, or a distribution; for a stream, up to the first chunk.
        chunk_latency: seconds between two chunks of a stream, or a distribution.
        seed: of the provider's own chance; left out: the name.
        script: what befalls the first attempts, one step each.
        error_rate: the share of the other attempts that fail with `error`, 0 to 1.
        error: the fault of those.
        outages: windows of loop time with faults.
        answer: makes the answer from the request; left out: `"name: request"`.
        chunks: makes the chunks of a stream from the answer; left out: its words.
        remember: how many attempts `asked` keeps.
    """

    def __init__(
        self,
        name: str = "scripted",
        *,
        latency: float | Latency = 0.0,
        chunk_latency: float | Latency = 0.0,
        seed: int | str | None = None,
        script: Iterable[Step] = (),
        error_rate: float = 0.0,
        error: Fault | FaultKind = "error",
        outages: Sequence[Outage] = (),
        answer: Callable[[Any], Any] | None = None,
        chunks: Callable[[Any], Iterable[Any]] | None = None,
        remember: int = 1000,
    ) -> None:
        self.name: str = check.name("ScriptedProvider.name", name)
        self.outages: tuple[Outage, ...] = tuple(outages)
        self.error_rate: float = check.share("ScriptedProvider.error_rate", error_rate)
        self.count: int = 0
        self.in_flight: int = 0
        self.most_in_flight: int = 0
        self.ended: Counter[str] = Counter()
        self.asked: deque[Asked] = deque(
            maxlen=check.count("ScriptedProvider.remember", remember, least=0)
        )
        self._latency = as_latency("ScriptedProvider.latency", latency)
        self._chunk_latency = as_latency("ScriptedProvider.chunk_latency", chunk_latency)
        self._rng = random.Random(name if seed is None else seed)
        self._script = deque(_step(given) for given in script)
        self._error = as_fault(error)
        self._answer = check.function("ScriptedProvider.answer", answer)
        self._chunks = check.function("ScriptedProvider.chunks", chunks)

    def __repr__(self) -> str:
        return f"<ScriptedProvider {self.name}: {self.count} asked, {self.in_flight} in flight>"

    def then(self, *steps: Step) -> None:
        """Adds steps to the end of the script."""
        self._script.extend(_step(given) for given in steps)

    async def __call__(self, request: Any) -> Any:
        """Answers a request, or fails, as scripted."""
        with self._attempt(request) as step:
            await self._rest(step)
            if isinstance(step, Answer):
                return self._value(request, step)
            return await self._suffer(request, step)

    async def stream(self, request: Any) -> AsyncGenerator[Any, None]:
        """Answers a request in chunks, or fails before, between or instead of them."""
        with self._attempt(request) as step:
            await self._rest(step)
            value, last = await self._opened(request, step)
            pieces = (self._chunks or _words)(value)
            for number, piece in enumerate(pieces):
                if number == last:
                    break
                if number:
                    await sleep(self._chunk_span(step))
                yield piece
            if isinstance(step, Fault) and step.kind in ("cut", "stall"):
                await sleep(self._chunk_span(step))
                await step.strike(self.name)

    async def _opened(self, request: Any, step: Answer | Fault | BaseException) -> tuple[Any, int]:
        """What a stream delivers, and how many chunks of it (-1: all); raises when nothing."""
        if isinstance(step, Fault) and step.kind in ("cut", "stall", "short"):
            return self._value(request, _PLAIN), step.chunks
        if isinstance(step, Answer):
            return self._value(request, step), -1
        return await self._suffer(request, step), -1

    async def _suffer(self, request: Any, step: Fault | BaseException) -> Any:
        """Plays a fault to its end: an answer of sorts, an exception, or nothing ever."""
        if isinstance(step, BaseException):
            raise step
        if step.kind in ("slow", "short"):
            return self._value(request, _PLAIN)
        if step.kind == "rubbish":
            return step.value
        return await step.strike(self.name)

    def _value(self, request: Any, step: Answer) -> Any:
        if step.value is not None:
            return step.value
        return f"{self.name}: {request}" if self._answer is None else self._answer(request)

    async def _rest(self, step: Answer | Fault | BaseException) -> None:
        """Takes the time that the answer, or the fault, takes to show."""
        span = None if isinstance(step, BaseException) else step.after
        if span is None:
            span = self._latency.sample(self._rng) * _factor(step)
        await sleep(span)

    def _chunk_span(self, step: Answer | Fault | BaseException) -> float:
        return self._chunk_latency.sample(self._rng) * _factor(step)

    def _next(self, at: float) -> Answer | Fault | BaseException:
        if self._script:
            return self._script.popleft()
        for outage in self.outages:
            fault = outage.fault_at(at, self._rng)
            if fault is not None:
                return fault
        if self.error_rate and self._rng.random() < self.error_rate:
            return self._error
        return _PLAIN

    @contextmanager
    def _attempt(self, request: Any) -> Generator[Answer | Fault | BaseException]:
        """Counts an attempt in and, however it ends, out again."""
        at = now()
        self.count += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        self.asked.append(Asked(at, request))
        end = "answer"
        try:
            yield self._next(at)
        except Exception as error:
            end = type(error).__name__
            raise
        except BaseException:
            end = "cancelled"
            raise
        finally:
            self.in_flight -= 1
            self.ended[end] += 1


def _factor(step: Answer | Fault | BaseException) -> float:
    return step.factor if isinstance(step, Fault) and step.kind == "slow" else 1.0


def _words(answer: Any) -> list[str]:
    words = str(answer).split(" ")
    return [word + " " for word in words[:-1]] + words[-1:]


def _step(given: Step) -> Answer | Fault | BaseException:
    if isinstance(given, Answer | BaseException):
        return given
    if isinstance(given, Fault | str):
        return as_fault(given)
    raise ConfigurationError(
        "ScriptedProvider.script",
        f"a step is an Answer, a Fault, the name of a fault or an exception, not {given!r}",
    )
