"""Lets pydantic read the core's own classes: their fields are the settings, they are the judges.

So a policy is described once, where it lives: names, types, defaults and words for the JSON
Schema come from the class, ranges from its constructor.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from inspect import cleandoc
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


class Section(BaseModel):
    """A part of the file: what it does not know is an error, and nothing changes it later."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True
    )


class Told:
    """An annotation: this dataclass, told by a mapping of its fields.

    Args:
        without: fields that no file can give (functions, objects).
        also: fixed values for some of them, given whenever the object is made.
    """

    def __init__(self, *without: str, **also: Any) -> None:
        self._without = {*without, *also}
        self._also = also

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        section = section_of(source, self._without)

        def made(told: Section) -> Any:
            given = {name: getattr(told, name) for name in told.model_fields_set}
            return source(**given, **self._also)

        return core_schema.no_info_after_validator_function(made, handler.generate_schema(section))


def section_of(cls: Any, without: set[str]) -> type[Section]:
    """The section of a file that tells a dataclass of the core."""
    words = _attributes(cls)
    hints = get_type_hints(cls, include_extras=True)
    told: dict[str, Any] = {}
    for field in fields(cls):
        if field.name not in without:
            default: Any = ... if field.default is MISSING else field.default
            info = FieldInfo(default=default, description=words.get(field.name))
            told[field.name] = (strictly(hints[field.name]), info)
    space = {name: info for name, (_, info) in told.items()}
    types = {name: hint for name, (hint, _) in told.items()}
    summary = (cls.__doc__ or "").partition("\n")[0]
    return type(Section)(
        cls.__name__,
        (Section,),
        {**space, "__annotations__": types, "__module__": __name__, "__doc__": summary},
    )


def _no_bool(value: Any) -> Any:
    """Numbers are no switches: `attempts: yes` is a mistake, though Python takes it for 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("float_type", "a switch")
    return value


Whole = Annotated[int, BeforeValidator(_no_bool)]
"""A whole number; a string of digits will do, since references to the environment are strings."""

Number = Annotated[float, BeforeValidator(_no_bool)]
"""A number; a string of digits will do."""


def strictly(hint: Any) -> Any:
    """A type in which no switch passes for a number."""
    known = {int: Whole, float: Number, int | None: Whole | None, float | None: Number | None}
    return known.get(hint, hint)


_ATTRIBUTE = re.compile(r"^    (\w+): (.+(?:\n {6,}.+)*)", re.MULTILINE)


def _attributes(cls: type) -> dict[str, str]:
    """What a class's docstring says about its attributes."""
    _, _, said = cleandoc(cls.__doc__ or "").partition("Attributes:\n")
    return {
        found[1]: " ".join(found[2].replace("`", "").split()) for found in _ATTRIBUTE.finditer(said)
    }
