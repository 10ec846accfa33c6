"""How each field of an OpenAI request is treated in another format; one table row for each field.

The code reads these tables, and docs/reference/translation.md is generated from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from multirouter.providers.error_factory import ErrorFactory

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


def check_fields(request: Mapping[str, Any], fields: Fields, errors: ErrorFactory) -> None:
    """Rejects fields that the format cannot express. None counts as absent.

    Raises:
        ProviderError: of kind `request`, naming the field.
    """
    for name, value in request.items():
        field = fields.get(name)
        if value is None or (field is not None and field.treatment != "rejected"):
            continue
        if field is None:
            raise errors.unsupported(
                name,
                "is not a field of this format; set its own fields with the provider's options=",
            )
        if not any(value == harmless for harmless in field.harmless):
            raise errors.unsupported(name, field.note)
