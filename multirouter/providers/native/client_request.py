"""The request as the client wrote it, for providers of the client's own format.

The router sees the canonical request alone. Beside it, in the context of the call, is the body that
the canonical one was translated from. A provider of the same format gets that body, so that fields
and types which the canonical format lacks reach it. All other providers get the translation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from contextvars import Context, ContextVar
from typing import Any

from multirouter.providers.error_factory import ErrorFactory

_TRANSPORT_FIELDS = frozenset({"model", "stream", "stream_options"})
"""Fields of a canonical request that routing sets; they do not change what is asked."""

MAX_LOSSES = 50
"""Fields that are recorded as left out, of one request."""

_MAX_NAME = 80

_ABSENT: Any = object()


class Losses:
    """Names of the fields that a translation leaves out, each once, in order."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names: dict[str, None] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Records a field, by its path without positions (`tools.web_search_20250305`)."""
        if len(self._names) < MAX_LOSSES:
            self._names.setdefault(name[:_MAX_NAME])

    @property
    def names(self) -> tuple[str, ...]:
        """The names so far."""
        return tuple(self._names)


class ClientRequest:
    """One request of a client, in its own format and in the canonical one.

    Args:
        format_: the format's name (`anthropic`).
        body: the body as the client wrote it, without the fields that are for the gateway alone;
            never changed.
        canonical: the same, translated.
        losses: fields of the body that the canonical request lacks.
        only_native: those of them without which an answer would be to another request. Only a
            provider of the client's format can serve it then.
        headers: headers of the request that belong to the format (`anthropic-beta`).
        query: the query string of the URL that belongs to it (`beta=true`).

    Attributes:
        format: the format's name.
        body: see above.
        headers: see above, names in lower case.
        query: see above.
        model: the model that the client named; "" without one.
    """

    __slots__ = (
        "_canonical",
        "_dropped",
        "_losses",
        "_only_native",
        "body",
        "format",
        "headers",
        "model",
        "query",
    )

    def __init__(
        self,
        format_: str,
        body: Mapping[str, Any],
        canonical: Mapping[str, Any],
        *,
        losses: Iterable[str] = (),
        only_native: Iterable[str] = (),
        headers: Mapping[str, str] | None = None,
        query: str = "",
    ) -> None:
        self.format: str = format_
        self.body: Mapping[str, Any] = body
        self.headers: Mapping[str, str] = headers or {}
        self.query: str = query
        self.model: str = str(canonical.get("model") or "")
        self._canonical = dict(canonical)
        self._losses = tuple(losses)
        self._only_native = tuple(only_native)
        self._dropped: dict[str, tuple[str, ...]] = {}

    def current(self) -> AbstractContextManager[None]:
        """Makes it the request of all calls in the block, and in tasks that begin in it.

        Contexts outlive the block, in timers for example, and must not keep the request. So it is
        taken out of them when tasks that have begun in the block have made their first step, in
        which a background copy encodes its request.
        """
        return _Current(_Place(self))

    def release(self) -> None:
        """Lets go of the content."""
        self.body = {}
        self._canonical = {}

    def body_for(
        self,
        request: Mapping[str, Any],
        turns: str,
        translate: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    ) -> dict[str, Any] | None:
        """The client's body with what was changed in the canonical request since.

        Args:
            request: the canonical request, as the provider got it.
            turns: the field of the format that holds the conversation (`messages`).
            translate: translates a canonical request to the format.

        Returns:
            A new dict; None when the request has another conversation, so that its body is not
            the client's.
        """
        changed = self._changed_fields(request)
        if not changed:
            return dict(self.body)
        added = self._added_messages(request) if "messages" in changed else []
        if added is None:
            return None
        body = dict(self.body)
        if changed - {"messages"}:
            old = translate(self._canonical)
            new = translate({**request, "messages": self._canonical["messages"]})
            for name in [name for name in {**old, **new} if name != turns]:
                if old.get(name, _ABSENT) != new.get(name, _ABSENT):
                    body.pop(name, None)
                    body.update({name: new[name]} if name in new else {})
        if added:
            more = translate({**request, "messages": added})[turns]
            before = body[turns]
            if isinstance(before, str):  # which stands for one message of the user
                before = [{"role": "user", "content": before}]
            body[turns] = [*before, *more]
        return body

    def check_translatable(self, errors: ErrorFactory) -> None:
        """Rejects a request that only providers of the client's format can serve.

        Raises:
            ProviderError: of kind `unsupported`, naming the field.
        """
        for field in self._only_native:
            raise errors.unsupported(field, f"only providers of the format {self.format} have it")

    def record_dropped(self, provider: str, fields: Iterable[str]) -> None:
        """Records what a provider's translation of the request left out."""
        self._dropped[provider] = tuple(fields)

    def dropped_by(self, provider: str) -> tuple[str, ...]:
        """What the request to a provider lacked; by default the losses of the first translation."""
        return self._dropped.get(provider, self._losses)

    @property
    def losses(self) -> tuple[str, ...]:
        """Fields of the body that the canonical request lacks."""
        return self._losses

    def _changed_fields(self, request: Mapping[str, Any]) -> set[str]:
        old = self._canonical
        return {
            name
            for name in old.keys() | request.keys()
            if name not in _TRANSPORT_FIELDS and not _same(old.get(name), request.get(name))
        }

    def _added_messages(self, request: Mapping[str, Any]) -> list[Any] | None:
        """The messages behind those of the client; None for another conversation."""
        old, new = self._canonical.get("messages"), request.get("messages")
        if not isinstance(old, list) or not isinstance(new, list | tuple):
            return None
        return list(new[len(old) :]) if list(new[: len(old)]) == old else None


def _same(one: Any, other: Any) -> bool:
    return one is other or one == other


class _Place:
    """What contexts refer to instead of a request."""

    __slots__ = ("client",)

    def __init__(self, client: ClientRequest | None) -> None:
        self.client = client

    def clear(self) -> None:
        """Lets go of the request, and of its content, to which frames may refer."""
        if self.client is not None:
            self.client.release()
        self.client = None


class _Current:
    """See `ClientRequest.current`."""

    __slots__ = ("_place", "_token")

    def __init__(self, place: _Place) -> None:
        self._place = place

    def __enter__(self) -> None:
        self._token = _CURRENT.set(self._place)

    def __exit__(self, *_: object) -> None:
        _CURRENT.reset(self._token)
        try:
            asyncio.get_running_loop().call_soon(self._place.clear, context=_NO_CONTEXT)
        except RuntimeError:  # without a loop, no task has begun
            self._place.clear()


_NO_CONTEXT = Context()
_CURRENT: ContextVar[_Place] = ContextVar(
    "multirouter_client_request",
    default=_Place(None),  # noqa: B039 - it is never changed
)


def client_request() -> ClientRequest | None:
    """The client's request that the current call serves; None outside of a gateway."""
    return _CURRENT.get().client


def native_request(format_: str) -> ClientRequest | None:
    """The same, if it is in the given format."""
    client = _CURRENT.get().client
    return client if client is not None and client.format == format_ else None


def translating(errors: ErrorFactory, dropped: Iterable[str] = ()) -> None:
    """Records that a provider gets the translation of the client's request, if there is one.

    Args:
        errors: the provider's.
        dropped: fields of the canonical request that its format lacks.

    Raises:
        ProviderError: of kind `unsupported`, for a request that only the client's format has.
    """
    client = _CURRENT.get().client
    if client is not None:
        client.check_translatable(errors)
        client.record_dropped(errors.provider, (*client.losses, *dropped))
