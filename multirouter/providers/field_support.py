"""How each field of an OpenAI request is treated in another format; one table row for each field.

The code reads these tables, and docs/reference/translation.md is generated from them. `find_lacks`
finds what a format cannot express, by a translation that sends nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from multirouter.providers.api_keys.secret import Secret
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.native.client_request import client_request, native_request

Treatment = Literal["translated", "dropped", "rejected"]


@dataclass(frozen=True, slots=True)
class Field:
    """One row of a table.

    Attributes:
        treatment: `translated`; `dropped`, when the request means the same without it or the note
            says what is lost; `rejected`, before anything is sent.
        note: the field's counterpart, or the reason why there is none.
        harmless: values of a rejected field that have no effect, and are accepted.
    """

    treatment: Treatment
    note: str
    harmless: tuple[Any, ...] = ()


Fields = Mapping[str, Field]


def translated(note: str) -> Field:
    """A field that this format has."""
    return Field("translated", note)


def dropped(note: str) -> Field:
    """A field that is left out."""
    return Field("dropped", note)


def rejected(note: str, *harmless: object) -> Field:
    """A field that this format lacks, and without which the answer would differ."""
    return Field("rejected", note, harmless)


def unknown_fields(request: Mapping[str, Any], fields: Fields) -> list[str]:
    """The fields of a request that the format lacks, and which are left out."""
    return [name for name, value in request.items() if value is not None and name not in fields]


def check_fields(request: Mapping[str, Any], fields: Fields, errors: ErrorFactory) -> None:
    """Rejects fields without which the answer would differ. None counts as absent.

    A field that is not in the table is left out: vendors add fields each month.

    Raises:
        ProviderError: of kind `unsupported`, naming the field.
    """
    for name, why in unsupported_fields(request, fields).items():
        raise errors.unsupported(name, why)


def unsupported_fields(request: Mapping[str, Any], fields: Fields) -> dict[str, str]:
    """Returns the fields that the format cannot express, with the reasons. None counts as absent.

    Unknown fields are not among them: they are left out.
    """
    found = {}
    for name, value in request.items():
        field = fields.get(name)
        if value is None or field is None or field.treatment != "rejected":
            continue
        if not any(value == harmless for harmless in field.harmless):
            found[name] = field.note
    return found


def only_native(format_: str) -> dict[str, str]:
    """Returns why the current client's request cannot be translated to a format, by field."""
    client = client_request()
    if client is None or client.format == format_:
        return {}
    try:
        client.check_translatable(_FINDER)
    except _Lacking as error:
        return {error.field: error.why}
    return {}


Translate = Callable[[Any, ErrorFactory], object]
"""Translates a request; raises what its second argument makes."""


class _Lacking(Exception):
    """Stands for the error about a field that the format cannot express."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(field, why)
        self.field = field
        self.why = why


class _Finder(ErrorFactory):
    """Makes exceptions that name the field."""

    def unsupported(self, field: str, why: str) -> Any:
        """See `ErrorFactory.unsupported`."""
        return _Lacking(field, why)


_FINDER = _Finder("", Secret("", None, variable="", required=False))


def find_lacks(
    request: Any, format_: str, fields: Fields, translate: Translate
) -> Mapping[str, str]:
    """Returns what of a request a format cannot express: reasons by field.

    All fields of the table are found, and one part of the content. The client's own request in this
    format lacks nothing, as it passes unchanged. Neither does a malformed request: an attempt says
    what is wrong with it.

    Args:
        request: the canonical request.
        format_: the format's name.
        fields: its table.
        translate: its translation.
    """
    if not isinstance(request, Mapping) or native_request(format_) is not None:
        return {}
    found = {**only_native(format_), **unsupported_fields(request, fields)}
    rest = {key: value for key, value in request.items() if key not in found}
    while True:
        try:
            translate(rest, _FINDER)
        except _Lacking as error:
            found[error.field] = error.why
            if rest.pop(error.field, None) is None:  # a part of the content
                return found
        except Exception:  # noqa: BLE001 - a malformed request, which an attempt reports
            return found
        else:
            return found
