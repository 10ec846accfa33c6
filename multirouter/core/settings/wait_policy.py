"""Policy of a call's wait for a provider, when none is available."""

from __future__ import annotations

from dataclasses import dataclass

from multirouter.core import validation as check


@dataclass(frozen=True, slots=True)
class WaitPolicy:
    """How a call waits when no provider is available, for `wait=` of a call.

    Attributes:
        seconds: longest wait from the start of the call, seconds, >= 0.
        max_waiting: the call does not wait when as many calls of the router wait already, at least
            1; None for no limit.
        only_if_known: whether the call waits only when it is known that a provider becomes
            available in that time: when a rate limit refills or a cooldown ends, say. Otherwise it
            also waits for attempts of others to end.

    Raises:
        ConfigurationError: a value is out of range.
    """

    seconds: float
    max_waiting: int | None = None
    only_if_known: bool = False

    def __post_init__(self) -> None:
        check.number("WaitPolicy.seconds", self.seconds, minimum=0.0, allow_inf=True)
        if self.max_waiting is not None:
            check.count("WaitPolicy.max_waiting", self.max_waiting)
        check.flag("WaitPolicy.only_if_known", self.only_if_known)
