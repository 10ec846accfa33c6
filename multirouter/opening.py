"""Opens a stream as an attempt of a plan: up to its first content it fails over like any call."""

from __future__ import annotations

from typing import Any

from multirouter.attempt import Asker, Asks
from multirouter.core.model import CANCELLED, SUCCESS
from multirouter.core.plan import Plan
from multirouter.core.steps import Try
from multirouter.core.stream_policy import StreamPolicy
from multirouter.eventloop import EventLoop
from multirouter.splicing import Delivered
from multirouter.upstream import Upstream


class Opener:
    """Opens streams as attempts of a plan; the one that serves stays open in `upstream`.

    Attributes:
        loop: the event loop.
        delivered: what the consumer has already.
        upstream: the stream that serves, once one does.
    """

    __slots__ = ("_asker", "_drained", "_policy", "delivered", "loop", "upstream")

    def __init__(
        self, asker: Asker, policy: StreamPolicy, delivered: Delivered, *, drained: bool = False
    ) -> None:
        self.loop: EventLoop = asker.loop
        self.delivered = delivered
        self.upstream: Upstream | None = None
        self._asker = asker
        self._policy = policy
        self._drained = drained

    async def ask(self, plan: Plan, step: Try, request: Any) -> float:  # noqa: ARG002 - see Delivered
        """Makes one attempt: up to the first content, or to the end for a copy."""
        self._asker.tell_start(step)
        billing = plan.route.billing
        step.meter = None if billing is None else billing.meter(step.member.name)
        upstream = Upstream(step, self._policy)
        error: Exception | None = None
        bound = self.loop.bound(step.deadline)
        try:
            with bound:
                await upstream.open(self.delivered)
                if self._drained:
                    await _drain(upstream)
        except Exception as raised:
            error = raised
        except BaseException as raised:
            plan.record(step, CANCELLED, None, raised, self.loop.time())
            await upstream.close()
            raise
        now = self.loop.time()
        if error is not None or bound.expired or bound.stray:
            verdict, failure = self._asker.judge_failure(plan, step, error, bound, "first_token")
            plan.record(step, verdict, None, failure, now)
        elif self._drained:
            plan.record(step, SUCCESS, None, None, now)
        elif plan.serving(step, now):
            self.upstream = upstream
            return now
        else:
            plan.record(step, CANCELLED, None, None, now)
        await upstream.close()
        return now

    def copying(self) -> Asks:
        """A copy of a stream is read to its end: only that shows whether its provider is well."""
        return Opener(self._asker, self._policy, self.delivered, drained=True)


async def _drain(upstream: Upstream) -> None:
    while True:
        try:
            await upstream.next()
        except StopAsyncIteration:
            return
