"""Lets pydantic read the package's own classes: their arguments are settings, they are the judges.

So a policy is described once, where it lives: names, types, defaults and words for the JSON
Schema come from the class, ranges from its constructor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from inspect import cleandoc, signature
from typing import Annotated, Any, ClassVar, get_args, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    GetCoreSchemaHandler,
    create_model,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema


class Section(BaseModel):
    """A part of the file: what it does not know is an error, and nothing changes it later."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True
    )


class Described(Section):
    """A section whose settings have a docstring each; to read them takes its time at import."""

    model_config: ClassVar[ConfigDict] = ConfigDict(use_attribute_docstrings=True)


class Told:
    """An annotation: this class, told by a mapping of its constructor's arguments.

    Args:
        without: arguments that no file can give (functions, objects).
        otherwise: what holds here where a setting is left out, if that is not the class's own.
        again: whether each use wants an object of its own: the value is then what makes one.
        also: fixed values for some arguments, given whenever the object is made.
    """

    def __init__(
        self,
        *without: str,
        otherwise: Mapping[str, Any] | None = None,
        again: bool = False,
        **also: Any,
    ) -> None:
        self._otherwise = otherwise or {}
        self._without = {*without, *also}
        self._again = again
        self._also = also
        self._section: type[Section] | None = None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        cls = get_args(source)[1] if self._again else source
        # An annotation belongs to one class, and asks for its section wherever it stands.
        section = self._section or section_of(cls, self._without, self._otherwise)
        self._section = section
        listed = [p.name for p in signature(cls).parameters.values() if p.kind is p.VAR_POSITIONAL]

        def made(told: Section) -> Any:
            given = {name: getattr(told, name) for name in told.model_fields_set}
            several = [one for name in listed for one in given.pop(name, ())]
            make = partial(cls, *several, **{**self._otherwise, **given, **self._also})
            made_once = make()
            return make if self._again else made_once

        return core_schema.no_info_after_validator_function(made, handler.generate_schema(section))


def section_of(cls: Any, without: set[str], otherwise: Mapping[str, Any]) -> type[Section]:
    """The section of a file that tells what a class is made of."""
    words = _attributes(cls)
    hints = get_type_hints(cls.__init__, include_extras=True)
    told: dict[str, Any] = {}
    for name, parameter in signature(cls).parameters.items():
        if name in without:
            continue
        hint, default = strictly(hints[name]), otherwise.get(name, parameter.default)
        if parameter.kind is parameter.VAR_POSITIONAL:
            hint, default = tuple[hint, ...], ()  # type: ignore[valid-type] # known at run time
        info = FieldInfo(
            default=... if default is parameter.empty else default, description=words.get(name)
        )
        told[name] = (hint, info)
    summary = (cls.__doc__ or "").partition("\n")[0]
    return create_model(cls.__name__, __base__=Section, __doc__=summary, **told)


def _no_bool(value: Any) -> Any:
    """Numbers are no switches: `attempts: yes` is a mistake, though Python takes it for 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("float_type", "a switch")
    return value


Whole = Annotated[int, BeforeValidator(_no_bool)]
"""A whole number; a string of digits will do, since references to the environment are strings."""

Number = Annotated[float, BeforeValidator(_no_bool)]
"""A number; a string of digits will do."""


WholeOrNone = Annotated[int | None, BeforeValidator(_no_bool)]
NumberOrNone = Annotated[float | None, BeforeValidator(_no_bool)]


def strictly(hint: Any) -> Any:
    """A type in which no switch passes for a number."""
    known = {int: Whole, float: Number, int | None: WholeOrNone, float | None: NumberOrNone}
    return known.get(hint, hint)


_ATTRIBUTE = re.compile(r"^    (\w+): (.+(?:\n {6,}.+)*)", re.MULTILINE)


def _attributes(cls: type) -> dict[str, str]:
    """What a class's docstring says about its attributes, or its arguments."""
    said = cleandoc(cls.__doc__ or "")
    said = said.partition("Attributes:\n")[2] + said.partition("Args:\n")[2]
    return {
        found[1]: " ".join(found[2].replace("`", "").split()) for found in _ATTRIBUTE.finditer(said)
    }
