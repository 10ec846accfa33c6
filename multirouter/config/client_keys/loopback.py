"""Whether a host name or address is this machine."""

from __future__ import annotations

import ipaddress


def host_from(header: str) -> str:
    """The host of a `Host` header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Whether an address or name can only be this machine."""
    if host.lower() in {"localhost", ""} or host.lower().endswith(".localhost"):
        return bool(host)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
