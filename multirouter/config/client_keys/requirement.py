"""When a gateway must have keys: before it serves other machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from multirouter.config.client_keys.loopback import is_loopback
from multirouter.errors import ConfigurationError

if TYPE_CHECKING:
    from multirouter.config.settings import Settings


def require_keys(settings: Settings, host: str | None, *, allow_anyone: bool) -> str:
    """Returns the host to listen on.

    Args:
        settings: the configuration.
        host: the host of the command line; None for that of the file.
        allow_anyone: whether other machines are served without keys.

    Raises:
        ConfigurationError: the host would serve other machines without keys.
    """
    host = settings.server.host if host is None else host
    if settings.keys is None and not allow_anyone and not is_loopback(host):
        raise ConfigurationError(
            "host",
            f"{host!r} serves other machines, and no keys are configured: create a key with "
            "`multirouter keys new` and set keys: {file: keys.json}, or pass --allow-anyone",
        )
    return host
