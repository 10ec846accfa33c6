"""Settings of sharing that do not depend on what carries the state."""

from __future__ import annotations

import re
import socket
from typing import Any, Protocol

from multirouter.core import validation as check
from multirouter.core.sharing.quorum import Quorum
from multirouter.errors import ConfigurationError
from multirouter.sharing.transport import Identity, Transport

INTERVAL = 3.0
"""Seconds between two reports of a process."""

START_TIMEOUT = 2.0
"""Seconds that a router which is entered waits for the shared state."""

_NAMESPACE = re.compile(r"[A-Za-z0-9._:/-]{1,100}")


class Sharing(Protocol):
    """How a router shares its state with other processes.

    Attributes:
        options: the settings.
    """

    options: SharingOptions

    def transport(self, identity: Identity) -> Transport:
        """A connection for one router."""
        ...


class SharingOptions:
    """Settings of every kind of sharing.

    Args:
        what: the name of the class, for errors.
        namespace: 1 to 100 characters of letters, digits and `._:/-`; fleets with different
            namespaces know nothing of each other.
        quorum: when the word of other processes is believed; None for the default.
        interval: seconds between two reports, 0.1 to 60.
        start_timeout: seconds that a router which is entered waits for the state, 0 to 60.
        host: this process's machine; None for the name that the system gives it.

    Raises:
        ConfigurationError: a setting is invalid.
    """

    __slots__ = ("host", "interval", "namespace", "quorum", "start_timeout")

    def __init__(
        self,
        what: str,
        *,
        namespace: Any,
        quorum: Quorum | None,
        interval: float,
        start_timeout: float,
        host: str | None,
    ) -> None:
        if not isinstance(namespace, str) or _NAMESPACE.fullmatch(namespace) is None:
            allowed = "1 to 100 of the characters A-Z a-z 0-9 . _ : / -"
            raise ConfigurationError(f"{what}.namespace", f"must be {allowed}, got {namespace!r}")
        self.namespace: str = namespace
        check.instance(f"{what}.quorum", quorum, Quorum)
        self.quorum: Quorum = Quorum() if quorum is None else quorum
        check.number(f"{what}.interval", interval, minimum=0.1, maximum=60.0)
        self.interval: float = interval
        check.number(f"{what}.start_timeout", start_timeout, minimum=0.0, maximum=60.0)
        self.start_timeout: float = start_timeout
        self.host: str = socket.gethostname() if host is None else check.name(f"{what}.host", host)


def sharing_of(value: Any) -> Sharing:
    """The value of a router's `sharing=`.

    Raises:
        ConfigurationError: it is not a `Sharing`.
    """
    if not isinstance(getattr(value, "options", None), SharingOptions):
        raise ConfigurationError(
            "sharing", f'must be RedisSharing("redis://...") or None, got {type(value).__name__}'
        )
    found: Sharing = value
    return found
