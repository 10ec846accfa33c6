"""Gateway keys as the gateway sees them, and how requests carry them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from multirouter.core.cost.budgets import Budget
from multirouter.core.routes.chain import Target
from multirouter.gateway.http.http_error import HTTPError


class Key(Protocol):
    """Rights and limits of one gateway key; a limit of None is no limit.

    Attributes:
        name: identifies the key in the log.
        admin: whether it gives access to the admin API, and to nothing else.
        requests_per_minute: requests beyond it are answered with 429.
        tokens_per_minute: prompt and answer together, as the providers count them.
        concurrent: requests under way at once.
        budget: what it may spend, as far as prices are known.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see above
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
    """All gateway keys; tokens are compared in constant time."""

    def check(self, token: str, /) -> Key | None:
        """The key of a token, or None."""
        ...


def token_from(headers: Mapping[str, str]) -> str | None:
    """The key in a request's headers, as OpenAI's, Anthropic's and Google's clients send it."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key") or headers.get("x-goog-api-key") or None


def check_routes(key: Key | None, targets: Iterable[Target]) -> None:
    """Checks that a key gives access to all targets of a request.

    Raises:
        HTTPError: 403.
    """
    for target in targets:
        route = str(target.route)
        if key is not None and not key.may_use(route):
            named = f"model {target.model!r}" if target.model else f"route {route!r}"
            raise HTTPError(403, f"this key has no access to {named}", code="forbidden_model")
