"""Gateway keys as the gateway sees them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from multirouter.core.cost.budget import Budget
from multirouter.gateway.http.http_error import HTTPError


class Key(Protocol):
    """Rights and limits of one gateway key; a limit of None is no limit.

    Attributes:
        name: identifies the key in the log.
        id: the public part of the key, another one for each key.
        routes: names or patterns of the routes that it may use; empty for all.
        admin: whether it gives access to the admin API, and to nothing else.
        requests_per_minute: requests beyond it are answered with 429.
        tokens_per_minute: prompt and answer together, as the providers count them.
        concurrent: requests under way at once.
        budget: what it may spend, as far as prices are known.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see above
    @property
    def id(self) -> str: ...  # noqa: D102 - see above
    @property
    def routes(self) -> tuple[str, ...]: ...  # noqa: D102 - see above
    @property
    def admin(self) -> bool: ...  # noqa: D102 - see above
    @property
    def requests_per_minute(self) -> float | None: ...  # noqa: D102 - see above
    @property
    def tokens_per_minute(self) -> float | None: ...  # noqa: D102 - see above
    @property
    def concurrent(self) -> int | None: ...  # noqa: D102 - see above

    @property
    def budget(self) -> Budget | None: ...  # noqa: D102 - see above

    def may_use(self, route: str, /) -> bool:
        """Whether it gives access to a route."""
        ...


class Keys(Protocol):
    """All gateway keys; tokens are compared in constant time.

    Attributes:
        active: the keys that are not revoked.
        revoked: ids of the keys that are revoked.
    """

    @property
    def active(self) -> Sequence[Key]: ...  # noqa: D102 - see above
    @property
    def revoked(self) -> frozenset[str]: ...  # noqa: D102 - see above

    def check(self, token: str, /) -> Key | None:
        """The key of a token, or None."""
        ...


def check_access(key: Key | None, route: str, param: str, name: str) -> None:
    """Checks that a key gives access to a route.

    Args:
        key: the client's key; None without keys.
        route: the route that the request would use.
        param: the field that named it: `model` or `route`.
        name: the field's value.

    Raises:
        HTTPError: 403.
    """
    if key is not None and not key.may_use(route):
        message = f"this key has no access to {param} {name!r}"
        raise HTTPError(403, message, code="forbidden_model", param=param)
