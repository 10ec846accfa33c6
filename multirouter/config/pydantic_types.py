"""Pydantic types for the package's own classes, made from their constructors and docstrings.

Each policy is described once, in its class: names, types, defaults and the descriptions of the
JSON Schema come from the class, ranges from its constructor.
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
    """A part of the file: unknown settings are errors, and instances are immutable."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True
    )


class DocumentedSection(Section):
    """A section whose settings are described by attribute docstrings (slower to import)."""

    model_config: ClassVar[ConfigDict] = ConfigDict(use_attribute_docstrings=True)


class FromSettings:
    """Annotation for a class that is validated from a mapping of its constructor's arguments.

    Args:
        exclude: arguments that a file cannot set (functions, objects).
        defaults: defaults that replace those of the class.
        as_factory: the value is a function that makes a new object on each call.
        types: types of arguments in a file where they differ from those of the constructor.
        name: name of the section in the JSON Schema; default: that of the class.
        fixed: fixed values of arguments; a file cannot set them.
    """

    def __init__(
        self,
        *exclude: str,
        defaults: Mapping[str, Any] | None = None,
        as_factory: bool = False,
        types: Mapping[str, Any] | None = None,
        name: str | None = None,
        **fixed: Any,
    ) -> None:
        self._types = types or {}
        self._name = name
        self._defaults = defaults or {}
        self._exclude = {*exclude, *fixed}
        self._as_factory = as_factory
        self._fixed = fixed
        self._section: type[Section] | None = None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        cls = get_args(source)[1] if self._as_factory else source
        # Cached: an annotation belongs to one class, and pydantic calls this for every use of it.
        section = self._section or make_section(
            cls, self._exclude, self._defaults, self._types, self._name
        )
        self._section = section
        parameters = signature(cls).parameters.values()
        variadic = [p.name for p in parameters if p.kind is p.VAR_POSITIONAL]

        def construct(settings: Section) -> Any:
            values = {name: getattr(settings, name) for name in settings.model_fields_set}
            positional = [value for name in variadic for value in values.pop(name, ())]
            factory = partial(cls, *positional, **{**self._defaults, **values, **self._fixed})
            instance = factory()  # also for a factory: the constructor checks the ranges
            return factory if self._as_factory else instance

        return core_schema.no_info_after_validator_function(
            construct, handler.generate_schema(section)
        )


def make_section(
    cls: Any,
    exclude: set[str],
    defaults: Mapping[str, Any],
    types: Mapping[str, Any],
    name: str | None,
) -> type[Section]:
    """Makes the section of a file that holds the constructor arguments of a class.

    See `FromSettings` for the arguments.
    """
    descriptions = _attribute_docs(cls)
    hints = get_type_hints(cls.__init__, include_extras=True)
    fields: dict[str, Any] = {}
    for argument, parameter in signature(cls).parameters.items():
        if argument in exclude:
            continue
        hint = types.get(argument, strict_type(hints[argument]))
        default = defaults.get(argument, parameter.default)
        if parameter.kind is parameter.VAR_POSITIONAL:
            hint, default = tuple[hint, ...], ()  # type: ignore[valid-type] # known at run time
        info = FieldInfo(
            default=... if default is parameter.empty else default,
            description=descriptions.get(argument),
        )
        fields[argument] = (hint, info)
    summary = (cls.__doc__ or "").partition("\n")[0]
    return create_model(name or cls.__name__, __base__=Section, __doc__=summary, **fields)


def _reject_bool(value: Any) -> Any:
    """Rejects booleans as numbers: `attempts: true` is an error, though Python reads it as 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("float_type", "a boolean")
    return value


Integer = Annotated[int, BeforeValidator(_reject_bool)]
"""An integer; a string of digits is accepted, since references to the environment are strings."""

Number = Annotated[float, BeforeValidator(_reject_bool)]
"""A number; a numeric string is accepted."""


IntegerOrNone = Annotated[int | None, BeforeValidator(_reject_bool)]
NumberOrNone = Annotated[float | None, BeforeValidator(_reject_bool)]


def strict_type(hint: Any) -> Any:
    """The same type, but numeric types reject booleans."""
    strict = {int: Integer, float: Number, int | None: IntegerOrNone, float | None: NumberOrNone}
    return strict.get(hint, hint)


_ATTRIBUTE = re.compile(r"^    (\w+): (.+(?:\n {6,}.+)*)", re.MULTILINE)


def _attribute_docs(cls: type) -> dict[str, str]:
    """The descriptions of attributes and arguments in a class's docstring."""
    text = cleandoc(cls.__doc__ or "")
    text = text.partition("Attributes:\n")[2] + text.partition("Args:\n")[2]
    return {
        match[1]: " ".join(match[2].replace("`", "").split()) for match in _ATTRIBUTE.finditer(text)
    }
