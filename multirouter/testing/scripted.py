"""A provider with scripted answers and faults, deterministic, in virtual or real time."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.errors import ConfigurationError
from multirouter.testing.faults import Fault, FaultKind, Outage, as_fault
from multirouter.testing.latency import Latency, as_latency
from multirouter.testing.virtual_time.sleep import now, sleep


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful step of a script.

    Attributes:
        value: the answer; None: the provider's default answer.
        after: latency, seconds, >= 0; None: the provider's latency.
    """

    value: Any = None
    after: float | None = None

    def __post_init__(self) -> None:
        if self.after is not None:
            check.number("Answer.after", self.after, minimum=0.0)


Step = Answer | Fault | FaultKind | BaseException
"""One attempt of a script: an answer, a fault or the name of its kind, or an exception to raise."""


class ReceivedRequest(NamedTuple):
    """One received request.

    Attributes:
        at: loop time at which the attempt began, seconds.
        request: the request.
    """

    at: float
    request: Any


_DEFAULT_ANSWER = Answer()


class ScriptedProvider:
    """A fake provider: `Provider("a", scripted)` or `Provider("a", stream=scripted.stream)`.

    The result of an attempt is the next step of `script`, if there is one; otherwise the fault of
    the first of `outages` that applies; otherwise an error with probability `error_rate`;
    otherwise an answer. The same seed and the same order of attempts give the same run.

    Attributes:
        name: the name, which is also the default seed.
        count: attempts started.
        in_flight: attempts in flight.
        max_in_flight: the highest `in_flight` so far.
        ended: number of ended attempts by result: `answer`, the class name of an exception, or
            `cancelled`.
        requests: the latest requests, each a `ReceivedRequest`, oldest first.
        error_rate, outages: can be changed at any time.

    Args:
        name: the name.
        latency: seconds until the answer or the first chunk, or a distribution.
        chunk_latency: seconds between two chunks of a stream, or a distribution.
        seed: seed of the provider's random generator; None: the name.
        script: the results of the first attempts, one step each.
        error_rate: the share of the other attempts that fail with `error`, 0 to 1.
        error: the fault of those attempts.
        outages: windows of loop time with faults.
        answer: function that makes the answer from the request; None: `"name: request"`.
        chunks: function that makes the chunks of a stream from the answer; None: its words.
        max_requests: how many requests `requests` keeps, >= 0.
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
        max_requests: int = 1000,
    ) -> None:
        self.name: str = check.name("ScriptedProvider.name", name)
        self.outages: tuple[Outage, ...] = tuple(outages)
        self.error_rate: float = check.share("ScriptedProvider.error_rate", error_rate)
        self.count: int = 0
        self.in_flight: int = 0
        self.max_in_flight: int = 0
        self.ended: Counter[str] = Counter()
        self.requests: deque[ReceivedRequest] = deque(
            maxlen=check.count("ScriptedProvider.max_requests", max_requests, minimum=0)
        )
        self._latency = as_latency("ScriptedProvider.latency", latency)
        self._chunk_latency = as_latency("ScriptedProvider.chunk_latency", chunk_latency)
        self._rng = random.Random(name if seed is None else seed)
        self._script = deque(_step(given) for given in script)
        self._error = as_fault(error)
        self._answer = hooks.plain_function("ScriptedProvider.answer", answer, "request")
        self._chunks = hooks.plain_function(
            "ScriptedProvider.chunks", chunks, "request", iterable=True
        )

    def __repr__(self) -> str:
        return f"<ScriptedProvider {self.name}: {self.count} attempts, {self.in_flight} in flight>"

    def then(self, *steps: Step) -> None:
        """Adds steps to the end of the script."""
        self._script.extend(_step(given) for given in steps)

    async def __call__(self, request: Any) -> Any:
        """Answers a request or fails, as scripted."""
        with self._attempt(request) as step:
            await self._delay(step)
            if isinstance(step, Answer):
                return self._value(request, step)
            return await self._fail(request, step)

    async def stream(self, request: Any) -> AsyncGenerator[Any, None]:
        """Answers a request in chunks, or fails before or between them, as scripted."""
        with self._attempt(request) as step:
            await self._delay(step)
            value, limit = await self._open_stream(request, step)
            chunks = (self._chunks or _words)(value)
            for number, chunk in enumerate(chunks):
                if number == limit:
                    break
                if number:
                    await sleep(self._chunk_delay(step))
                yield chunk
            if isinstance(step, Fault) and step.kind in ("cut", "stall"):
                await sleep(self._chunk_delay(step))
                await step.inject(self.name)

    async def _open_stream(
        self, request: Any, step: Answer | Fault | BaseException
    ) -> tuple[Any, int]:
        """The answer of a stream and its number of chunks (-1: all), or raises the fault."""
        if isinstance(step, Fault) and step.kind in ("cut", "stall", "short"):
            return self._value(request, _DEFAULT_ANSWER), step.chunks
        if isinstance(step, Answer):
            return self._value(request, step), -1
        return await self._fail(request, step), -1

    async def _fail(self, request: Any, step: Fault | BaseException) -> Any:
        """Runs a fault: returns a wrong or late answer, raises, or never returns."""
        if isinstance(step, BaseException):
            raise step
        if step.kind in ("slow", "short"):
            return self._value(request, _DEFAULT_ANSWER)
        if step.kind == "rubbish":
            return step.value
        return await step.inject(self.name)

    def _value(self, request: Any, step: Answer) -> Any:
        if step.value is not None:
            return step.value
        return f"{self.name}: {request}" if self._answer is None else self._answer(request)

    async def _delay(self, step: Answer | Fault | BaseException) -> None:
        """Sleeps for the latency of the answer or fault."""
        delay = None if isinstance(step, BaseException) else step.after
        if delay is None:
            delay = self._latency.sample(self._rng) * _factor(step)
        await sleep(delay)

    def _chunk_delay(self, step: Answer | Fault | BaseException) -> float:
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
        return _DEFAULT_ANSWER

    @contextmanager
    def _attempt(self, request: Any) -> Generator[Answer | Fault | BaseException]:
        """Counts an attempt at its start and at its end."""
        at = now()
        self.count += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)
        self.requests.append(ReceivedRequest(at, request))
        result = "answer"
        try:
            yield self._next(at)
        except Exception as error:
            result = type(error).__name__
            raise
        except BaseException:
            result = "cancelled"
            raise
        finally:
            self.in_flight -= 1
            self.ended[result] += 1


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
        f"a step must be an Answer, a Fault, the name of a fault or an exception, got {given!r}",
    )
