"""RedisSharing: a fleet's state in Redis or Valkey."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any
from urllib.parse import unquote, urlsplit

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.core.sharing.quorum import Quorum
from multirouter.errors import ConfigurationError
from multirouter.sharing.settings import INTERVAL, START_TIMEOUT, SharingOptions
from multirouter.sharing.transport import Identity, Transport

EXTRA = "pip install 'multirouter[redis]'"

SCHEMES = ("redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster")
_CLUSTERS = ("redis+cluster", "rediss+cluster")
_SENTINELS = ("redis+sentinel", "rediss+sentinel")
_PORT = {"redis+sentinel": 26379, "rediss+sentinel": 26379}
_TIMEOUT = 1.0


class RedisSharing:
    """Shares the state of routers in Redis or Valkey: `sharing=RedisSharing("redis://...")`.

    Routers of one name, in one namespace, are one fleet. Nothing of a call waits for Redis.

    Args:
        url: `redis://[user:password@]host:port/db`, `rediss://` with TLS or `unix://`, with the
            parameters that redis-py's `from_url` takes; `redis+cluster://host:port` or
            `rediss+cluster://`; `redis+sentinel://[user:password@]host:port,.../service/db` or
            `rediss+sentinel://`.
        namespace: prefix of all keys; fleets of different namespaces know nothing of each other.
        quorum: when the word of other processes is believed; left out, `Quorum()`.
        interval: seconds between two reports of a process, 0.1 to 60: so long it may take until all
            agree again after a fault.
        start_timeout: seconds that `async with router:` waits for the state before it serves, 0 to
            60.
        timeout: seconds after which a command counts as lost, 0.01 to 60.
        host: the machine of this process, whose processes share a network; left out, its host name.
        client: makes the client, for what a URL cannot say: a function without arguments that
            returns a client of redis-py's asyncio API with `decode_responses=True`.

    Attributes:
        options: the settings that do not depend on Redis.

    Raises:
        ConfigurationError: a setting is invalid, or redis-py is not installed.
    """

    def __init__(
        self,
        url: str = "redis://localhost:6379",
        *,
        namespace: str = "multirouter",
        quorum: Quorum | None = None,
        interval: float = INTERVAL,
        start_timeout: float = START_TIMEOUT,
        timeout: float = _TIMEOUT,
        host: str | None = None,
        client: Callable[[], Any] | None = None,
    ) -> None:
        try:
            import_module("redis.asyncio")  # half a second, which no call shall wait for
        except ImportError:
            raise ConfigurationError("RedisSharing", f"requires redis-py: {EXTRA}") from None
        self.options: SharingOptions = SharingOptions(
            "RedisSharing",
            namespace=namespace,
            quorum=quorum,
            interval=interval,
            start_timeout=start_timeout,
            host=host,
        )
        check.number("RedisSharing.timeout", timeout, minimum=0.01, maximum=60.0)
        self._timeout = timeout
        self._client = hooks.plain_function("RedisSharing.client", client)
        self._url = _checked_url(url)
        if client is None:
            self._new_client()  # an invalid parameter is found now

    def transport(self, identity: Identity) -> Transport:
        """A connection for one router."""
        from multirouter.sharing.redis_transport import RedisTransport

        return RedisTransport(self._client or self._new_client, identity, self.options.namespace)

    def __str__(self) -> str:
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def __repr__(self) -> str:
        return f"<RedisSharing {self} namespace={self.options.namespace!r}>"

    def _new_client(self) -> Any:
        """A client of the URL; it connects at its first command."""
        from redis.asyncio import Redis, RedisCluster
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff

        settings: dict[str, Any] = {
            "decode_responses": True,
            "socket_timeout": self._timeout,
            "socket_connect_timeout": self._timeout,
        }
        scheme = urlsplit(self._url).scheme
        try:
            if scheme in _CLUSTERS:
                _check_cluster_client(RedisCluster)
                return RedisCluster.from_url(self._url.replace("+cluster", "", 1), **settings)
            settings["retry"] = Retry(NoBackoff(), 0)
            if scheme in _SENTINELS:
                return self._sentinel_client(settings)
            return Redis.from_url(self._url, **settings)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                "RedisSharing.url", f"must be a URL of redis-py (the value is not shown): {error}"
            ) from None

    def _sentinel_client(self, settings: dict[str, Any]) -> Any:
        from redis.asyncio.sentinel import Sentinel

        parts = urlsplit(self._url)
        login, _, hosts = parts.netloc.rpartition("@")
        service, _, db = parts.path.strip("/").partition("/")
        addresses = []
        for address in hosts.split(","):
            host, _, port = address.partition(":")
            addresses.append((host, int(port or _PORT[parts.scheme])))
        if login:
            user, _, password = login.rpartition(":")
            settings |= {"username": unquote(user) or None, "password": unquote(password)}
        sentinels = {"socket_timeout": self._timeout, "socket_connect_timeout": self._timeout}
        tls = {"ssl": True} if parts.scheme.startswith("rediss") else {}
        make_sentinel: Any = Sentinel
        sentinel = make_sentinel(addresses, sentinel_kwargs={**sentinels, **tls}, **tls, **settings)
        return sentinel.master_for(service, db=int(db or 0))


def _check_cluster_client(client: type[Any]) -> None:
    """Checks that redis-py can subscribe to messages of a cluster.

    Raises:
        ConfigurationError: it is older than 8.0.
    """
    if not hasattr(client, "pubsub"):
        version = import_module("redis").__version__
        message = f"with a cluster requires redis-py 8.0 or later, got {version}: {EXTRA}"
        raise ConfigurationError("RedisSharing.url", message)


def _checked_url(url: Any) -> str:
    """The URL of a setting; an error shows no password."""
    what = "RedisSharing.url"
    if not isinstance(url, str):
        raise ConfigurationError(what, f"must be a string, got {type(url).__name__}")
    scheme, separator, _ = url.partition("://")
    allowed = (*SCHEMES, "rediss+cluster")
    if not separator or scheme not in allowed:
        shown = repr(scheme) if separator else "no scheme"
        schemes = ", ".join(allowed)
        raise ConfigurationError(what, f"must have one of the schemes {schemes}, got {shown}")
    if scheme in _SENTINELS and not urlsplit(url).path.strip("/"):
        raise ConfigurationError(what, "must name the service: redis+sentinel://host:port/SERVICE")
    return url
