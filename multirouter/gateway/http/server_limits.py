"""Limits on what one client may use of the gateway."""

from __future__ import annotations

from dataclasses import dataclass

from multirouter.core import validation as check

_OTHER_DESCRIPTORS = 64
"""Descriptors of a process that are no connections: files, listeners, pipes, the history."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Limits on bodies, headers, times and connections.

    Attributes:
        max_body_size: bytes of a request's body, >= 1.
        max_header_size: bytes of one header field and of the request line, >= 256.
        read_timeout: seconds in which a body must arrive.
        write_timeout: seconds in which a client reads nothing of its answer before it is
            disconnected.
        comment_interval: seconds without data in a stream before a comment is sent.
        keepalive_timeout: seconds a connection may be idle between requests, or take to send the
            headers of one.
        max_connections: connections at once, >= 1. Beyond it, and beyond what the descriptors of
            the process allow, the connection that has been idle for longest is closed.
    """

    max_body_size: int = 64 * 2**20
    max_header_size: int = 16 * 2**10
    read_timeout: float = 60.0
    write_timeout: float = 60.0
    comment_interval: float = 15.0
    keepalive_timeout: float = 75.0
    max_connections: int = 10_000

    def __post_init__(self) -> None:
        check.count("ServerLimits.max_body_size", self.max_body_size)
        check.count("ServerLimits.max_header_size", self.max_header_size, minimum=256)
        check.duration("ServerLimits.read_timeout", self.read_timeout)
        check.duration("ServerLimits.write_timeout", self.write_timeout)
        check.duration("ServerLimits.comment_interval", self.comment_interval)
        check.duration("ServerLimits.keepalive_timeout", self.keepalive_timeout)
        check.count("ServerLimits.max_connections", self.max_connections)

    def connections(self) -> int:
        """Connections at once: `max_connections`, or fewer when RLIMIT_NOFILE is low.

        Each may need a second descriptor for a provider; some are kept for files and listeners.
        """
        try:
            import resource
        except ImportError:  # not on Windows
            return self.max_connections
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            return self.max_connections
        return min(self.max_connections, max(1, (soft - _OTHER_DESCRIPTORS) // 2))
