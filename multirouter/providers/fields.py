"""What becomes of each field of a request in a format that is not OpenAI's: one row a field.

The tables are read by the code and shown in docs/translation.md, so neither can lie.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from multirouter.providers.failures import Failures

Treatment = Literal["translated", "dropped", "refused"]


@dataclass(frozen=True, slots=True)
class Field:
    """One row.

    Attributes:
        treatment: `translated`, `dropped` (the request means the same without it, or the note
            says what is lost) or `refused` (before anything is sent).
        note: into what, or why not.
        harmless: values that say nothing, and so are never refused.
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


def refused(note: str, *harmless: object) -> Field:
    """A field whose loss would change the answer."""
    return Field("refused", note, harmless)


def check_fields(request: Mapping[str, Any], fields: Fields, failures: Failures) -> None:
    """Refuses what the format cannot say; None is as good as absent.

    Raises:
        ProviderError: of kind `request`, naming the field.
    """
    for name, value in request.items():
        field = fields.get(name)
        if value is None or (field is not None and field.treatment != "refused"):
            continue
        if field is None:
            raise failures.inexpressible(
                name, "is unknown to this format; the provider's options= can carry its own fields"
            )
        if not any(value == harmless for harmless in field.harmless):
            raise failures.inexpressible(name, field.note)
