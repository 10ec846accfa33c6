"""What answers bring and requests name: ids of what a service keeps for one account."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from multirouter.errors import CallFailed, ProviderError
from multirouter.gateway.formats.responses.requests import ONLY_NATIVE
from multirouter.gateway.http.http_error import HTTPError
from multirouter.providers.error_factory import names_id

MAX_LENGTH = 256
"""Characters of an id that is remembered, or looked for."""

MAX_ITEMS = 256
"""Ids of one answer that are remembered, and ids of one request that are looked for."""

_MAX_DEPTH = 8
"""Levels of an item in which files are looked for."""

_FREE = frozenset({"input", "arguments", "args"})
"""Fields of items that hold the user's own data: arguments of calls."""


def ids_in(answer: Mapping[str, Any]) -> Iterator[str]:
    """The ids that an answer brings: its own, those of objects beside it, and of its output.

    Of the contents of the output it is those of files, which a tool of the service has made.
    """
    yield from _id_of(answer)
    for value in answer.values():
        yield from _id_of(value)
    output = answer.get("output")
    for item in output if isinstance(output, list) else ():
        yield from _id_of(item)
        yield from (id_ for _, id_ in _files_in(item))


def message_ids_in(message: Mapping[str, Any]) -> Iterator[str]:
    """The ids of containers and files in a message of Anthropic, or in an event of its stream."""
    for part in (message, *message.values()):
        if isinstance(part, Mapping):
            yield from _id_of(part.get("container"))
    yield from (id_ for _, id_ in _files_in(message))


def references_in(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a request may refer to: fields with their ids, at most `MAX_ITEMS`.

    It is found by its shape, so that new fields count too: a text in a field named `..._id`, an
    object with an `id`, an item that has nothing but its type and an `id`, and in contents a text
    in a field named `...file_id`. An object that a service of OpenAI keeps may be named by its id
    alone (`conversation`).
    """
    return islice(_references(body), MAX_ITEMS)


def _references(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field, value in body.items():
        if isinstance(value, str):
            if (field.endswith("_id") or field in _NAMES) and _is_id(value):
                yield field, value
        elif isinstance(value, dict) and field != "metadata":  # which is the client's own
            for id_ in _id_of(value):
                yield field, id_
    items = body.get("input")
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and len(item) <= len(_REFERENCE) and item.keys() <= _REFERENCE:
            for id_ in _id_of(item):
                yield "input", id_
    yield from _files_in([value for value in body.values() if isinstance(value, list)])


def _files_in(value: Any) -> list[tuple[str, str]]:
    """Fields that name a file, and its id, at any place of contents."""
    found: list[tuple[str, str]] = []
    if isinstance(value, _CONTAINERS):
        _add_files(value, found, 0)
    return found


def _add_files(value: Any, found: list[tuple[str, str]], depth: int) -> None:
    """Adds what is in a value to a list: a generator for each value would take twice the time."""
    deeper = depth < _MAX_DEPTH
    if isinstance(value, dict):
        for field, inner in value.items():
            if isinstance(inner, str):
                if field.endswith("file_id") and _is_id(inner):
                    found.append((field, inner))
            elif deeper and isinstance(inner, _CONTAINERS) and field not in _FREE:
                _add_files(inner, found, depth + 1)
    elif deeper:
        for inner in value:
            if isinstance(inner, _CONTAINERS):
                _add_files(inner, found, depth + 1)


_CONTAINERS = (dict, list)


_NAMES = frozenset({*ONLY_NATIVE, "container"})
"""Fields whose text is an id although their name does not say so; one is Anthropic's."""

_REFERENCE = frozenset({"type", "id"})
"""Fields of an item that only refers to another one."""


def _id_of(value: Any) -> Iterator[str]:
    id_ = value.get("id") if isinstance(value, Mapping) else None
    if isinstance(id_, str) and _is_id(id_):
        yield id_


def _is_id(text: str) -> bool:
    """Whether a text may be an id; one with half a surrogate pair has no place in a database."""
    return 0 < len(text) <= MAX_LENGTH and text.isprintable()


def not_found_code(field: str) -> str:
    """The code of an error about an id that is not known (`previous_response_not_found`)."""
    return f"{field.removesuffix('_id')}_not_found"


def unknown_reference(
    error: CallFailed | ProviderError, references: Iterable[tuple[str, str]]
) -> HTTPError | None:
    """The 400 that names an id which no provider knows; None if the call failed for another reason.

    A service says so with the id in its message, or with a code that ends in `_not_found`.

    Args:
        error: how the call ended.
        references: fields of the request with their ids.
    """
    failures = _provider_errors(error)
    named = [
        (field, id_) for field, id_ in references if failures and _unknown(id_, field, failures)
    ]
    if not named:
        return None
    field, id_ = named[0]
    said = "; ".join(str(failure) for failure in failures)
    message = f"{field}: must be an id of a provider of the route, got {id_!r} ({said})"
    return HTTPError(400, message, code=not_found_code(field), param=field, retry=False)


def _provider_errors(error: CallFailed | ProviderError) -> list[ProviderError]:
    """The errors of all attempts; none when another kind of error is among them."""
    if isinstance(error, ProviderError):
        return [error]
    failures = [one.error for one in error.attempts if one.outcome == "failure"]
    found = [failure for failure in failures if isinstance(failure, ProviderError)]
    return found if len(found) == len(failures) else []


def _unknown(id_: str, field: str, failures: Iterable[ProviderError]) -> bool:
    """Whether each provider says that it does not know an id, or could not have been sent it.

    At least one must say so; one that only lacks the field has no word in it.
    """
    about = [failure for failure in failures if failure.status is not None]
    return bool(about) and all(
        failure.status in _UNKNOWN
        and (failure.code == not_found_code(field) or names_id(failure, id_))
        for failure in about
    )


_UNKNOWN = frozenset({400, 404, 422})
