"""All errors of a configuration, reported together: file, path of the setting, what is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError
from multirouter.providers.api_keys.redaction import redact_secrets

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

SectionT = TypeVar("SectionT", bound="BaseModel")
MadeT = TypeVar("MadeT")

Path: TypeAlias = tuple[str | int, ...]
"""Path of a setting: ("routes", "coding", "tiers", 0)."""

Locate: TypeAlias = Callable[[], Mapping[Path, int]]
"""Returns the line of each setting of a file, from 1, by its path."""

SECRET_SETTINGS = frozenset({"api_key", "headers", "url"})
"""Settings whose values appear in no message."""

MIN_SECRET_LENGTH = 6
"""Shorter values from the environment are not masked: they are no secrets, and too common."""


class FromEnvironment(str):
    """A string with a value of the environment in it; messages show its source instead.

    Attributes:
        source: the text of the file, with its references.
    """

    __slots__ = ("source",)

    source: str

    def __new__(cls, text: str, source: str) -> Self:
        """Makes the string of a resolved text and its source."""
        instance = super().__new__(cls, text)
        instance.source = source
        return instance


class Problems:
    """The errors of one configuration, in the order in which they were found.

    Args:
        source: the file's path, or "the environment".
        locate: returns the line of each setting of the file, by path; None for no file.
    """

    def __init__(self, source: str, locate: Locate | None = None) -> None:
        self.source = source
        self._locate = locate
        self._lines: list[tuple[str, str]] = []
        self._paths: list[Path] = []
        self._damaged: frozenset[Path] = frozenset()
        self._hidden: dict[str, str] = {}

    def hide(self, secret: str, shown: str = "***") -> None:
        """Replaces a value in all messages added from now on."""
        if len(secret) >= MIN_SECRET_LENGTH:
            self._hidden[secret] = shown

    def add(self, path: Path, why: str) -> None:
        """Adds an error; a repeated one is ignored, and one that may follow from an earlier one.

        In a section where settings were left out, what is wrong with another value itself follows
        from none of them, and neither does the name of an unknown provider.
        """
        own = ", got " in why or why.startswith("unknown provider")
        if path[:2] in self._damaged and (path in self._paths or not own):
            return
        for secret, shown in self._hidden.items():
            why = why.replace(secret, shown)
        line = (format_path(path), redact_secrets(why))
        if line not in self._lines:
            self._lines.append(line)
            self._paths.append(path)

    @property
    def found(self) -> bool:
        """Whether there are errors."""
        return bool(self._lines)

    def expect_consequences(self) -> None:
        """Ignores what may follow from the errors so far: invalid settings were left out."""
        self._damaged = frozenset(path[:2] for path in self._paths)

    def add_error(self, path: Path, error: ConfigurationError) -> None:
        """Adds an error of a class of the core, under the path of the setting in the file."""
        setting = _setting_path(error.what)
        if error.what.startswith("Shadow.") and "shadow" not in path:
            path = (*path, "shadow")  # its targets are checked by the router, not by the section
        why = error.why.replace("math.inf", "inf")
        self.add(path if path[-1:] == setting else (*path, *setting), why)

    @contextmanager
    def collect(self, *path: str | int) -> Generator[None, None, None]:
        """Adds a ConfigurationError of the block under this path and suppresses it."""
        try:
            yield
        except ConfigurationError as error:
            self.add_error(path, error)

    def collect_each(
        self, path: Path, section: SectionT, make: Callable[[SectionT], MadeT]
    ) -> MadeT | None:
        """What is made of a section, or None; its errors are added.

        A class reports its first invalid setting alone. So that setting gets its default, and the
        next one is found.
        """
        found: set[str] = set()
        while True:
            try:
                return make(section)
            except ConfigurationError as error:
                self.add_error(path, error)
                setting = str(next(iter(_setting_path(error.what)), ""))
            self.expect_consequences()
            field = type(section).model_fields.get(setting)
            if field is None or field.is_required() or setting in found:
                return None
            found.add(setting)
            default = field.get_default(call_default_factory=True)
            section = section.model_copy(update={setting: default})

    def add_validation_error(self, error: ValidationError, schema: Mapping[str, Any]) -> None:
        """Adds pydantic's errors; `schema` has the known names, for suggestions."""
        for detail in error.errors(include_url=False):
            path: Path = tuple(detail["loc"])
            if any(format_path(path) == reported for reported, _ in self._lines):
                continue
            cause = detail.get("ctx", {}).get("error")
            if isinstance(cause, ConfigurationError):
                self.add_error(path, cause)
            else:
                self.add(path, _explain(detail, path, schema))

    def raise_if_any(self) -> None:
        """Raises if there are errors.

        Raises:
            ConfigurationError: with every error, one per line, in the order of the file.
        """
        lines = [] if self._locate is None or not self._lines else [*self._numbers(self._locate())]
        places = [f"{self.source}:{number}" if number else self.source for number in lines]
        places = places or [self.source] * len(self._lines)
        if len(self._lines) == 1:
            path, why = self._lines[0]
            raise ConfigurationError(f"{places[0]}: {path}" if path else places[0], why)
        if self._lines:
            numbers = lines or [0] * len(self._lines)
            found = sorted(zip(numbers, places, self._lines, strict=True), key=lambda each: each[0])
            texts = [": ".join(filter(None, (place, *line))) for _, place, line in found]
            raise ConfigurationError(self.source, "\n".join([f"{len(texts)} errors", *texts]))

    def _numbers(self, lines: Mapping[Path, int]) -> Iterable[int]:
        """The line of each error: that of its setting, or of the nearest section around it."""
        for path in self._paths:
            around = (path[:length] for length in range(len(path), 0, -1))
            yield next((lines[place] for place in around if place in lines), 0)


def place_of(detail: ErrorDetails) -> Path:
    """The setting that is invalid, also where pydantic knows only the section that it is in."""
    path: Path = tuple(detail["loc"])
    cause = detail.get("ctx", {}).get("error")
    setting = _setting_path(cause.what) if isinstance(cause, ConfigurationError) else ()
    return path if path[-1:] == setting else (*path, *setting)


def format_path(path: Iterable[str | int]) -> str:
    """A path as text: `routes.coding.tiers[0]`, `prices["gpt-4.1"].input`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif re.fullmatch(r"[\w/-]+", part):
            text += f".{part}" if text else part
        else:
            text += f'["{part}"]'
    return text


def _setting_path(what: str) -> Path:
    """The setting named by an error of the core: `Provider('a').weight` becomes `weight`."""
    found = re.search(r"(?:^|\.)([a-z_]+)(?:\[(.+)\])?$", what)
    if found is None:
        return ()
    return (found[1],) if found[2] is None else (found[1], found[2].strip("'\""))


_EXPECTATIONS: Mapping[str, str] = {
    "missing": "is required",
    "int_": "must be an integer",
    "float_": "must be a number",
    "finite_number": "must be finite",
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "bool_": "must be true or false",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping",
    "mapping_type": "must be a mapping",
    "model_type": "must be a mapping",
    "greater_than_equal": "must be >= {ge:g}",
    "greater_than": "must be > {gt:g}",
    "less_than_equal": "must be <= {le:g}",
    "value_error": "{error}",
}
"""Messages by prefix of pydantic's error type."""


def _explain(detail: ErrorDetails, path: Path, schema: Mapping[str, Any]) -> str:
    kind, given, details = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return (
            f"unknown setting {check.suggestion(str(path[-1]), setting_names(schema, path[:-1]))}"
        )
    if kind in {"literal_error", "enum"}:
        return f"must be one of {details['expected']}{_got(path, given)}"
    for prefix, expectation in _EXPECTATIONS.items():
        if kind.startswith(prefix):
            shown = "" if kind in {"missing", "too_short", "string_too_short"} else given
            return expectation.format_map(details) + _got(path, shown)
    return detail["msg"][:1].lower() + detail["msg"][1:] + _got(path, given)


def _got(path: Path, given: Any) -> str:
    """The actual value as the end of a message, or "" where it must not be shown."""
    if given == "" or SECRET_SETTINGS.intersection(path):
        return ""
    if isinstance(given, FromEnvironment):
        return f", got the value of {given.source}"
    if isinstance(given, dict):
        return ", got a mapping"
    if isinstance(given, list | tuple):
        return ", got a list"
    return ", got null" if given is None else f", got {given!r}"


def setting_names(schema: Mapping[str, Any], path: Path) -> list[str]:
    """The names of settings that the JSON Schema knows at a path."""
    shapes = [schema]
    for part in path:
        children = [
            child for shape in _alternatives(schema, shapes) for child in _children(shape, part)
        ]
        shapes = [_dereference(schema, child) for child in children]
    return [name for shape in _alternatives(schema, shapes) for name in shape.get("properties", ())]


def _alternatives(
    schema: Mapping[str, Any], shapes: list[Mapping[str, Any]]
) -> list[Mapping[str, Any]]:
    """The shapes, and the alternatives of those that are an `anyOf`."""
    inner = [_dereference(schema, choice) for shape in shapes for choice in shape.get("anyOf", ())]
    return [*shapes, *inner]


def _children(shape: Mapping[str, Any], part: str | int) -> list[Mapping[str, Any]]:
    found = shape.get("properties", {}).get(part)
    if found is None:
        found = shape.get("items" if isinstance(part, int) else "additionalProperties")
    return [found] if isinstance(found, dict) else []


def _dereference(schema: Mapping[str, Any], shape: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = shape.get("$ref")
    found: Mapping[str, Any] = shape
    if reference is not None:
        found = schema["$defs"][reference.rpartition("/")[2]]
    return found
