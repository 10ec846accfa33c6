"""Everything that is wrong with a configuration, told at once: file, path, what was expected."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError
from multirouter.providers.secret import hide_secrets

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

Path: TypeAlias = tuple[str | int, ...]
"""Where a setting stands: ("routes", "coding", "tiers", 0)."""

SECRET = frozenset({"api_key", "headers", "url"})
"""Settings whose values no message shows."""

SHORT = 6
"""Values from the environment with fewer letters are no secrets, and too common to look for."""


class FromEnvironment(str):
    """A text with something of the environment in it; no message shows it."""

    __slots__ = ("written",)

    written: str

    def __new__(cls, text: str, written: str) -> Self:
        """Keeps the text as it was written, with its references."""
        made = super().__new__(cls, text)
        made.written = written
        return made


class Faults:
    """The mistakes of one configuration, in the order in which they were found.

    Args:
        source: the file, or what else it came from.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self._lines: list[tuple[str, str]] = []
        self._hidden: dict[str, str] = {}

    def hide(self, secret: str, shown: str = "***") -> None:
        """From now on no message shows this value."""
        if len(secret) >= SHORT:
            self._hidden[secret] = shown

    def add(self, path: Path, why: str) -> None:
        """Notes a mistake; one that is known already is not repeated."""
        for secret, shown in self._hidden.items():
            why = why.replace(secret, shown)
        line = (spelled(path), hide_secrets(why))
        if line not in self._lines:
            self._lines.append(line)

    def add_refused(self, path: Path, error: ConfigurationError) -> None:
        """Notes what a class of the core refused, under the name that the file has for it."""
        self.add((*path, *_setting(error.what)), error.why)

    @contextmanager
    def noted(self, *path: str | int) -> Generator[None, None, None]:
        """Notes what the block refuses, as something at this path, and goes on behind it."""
        try:
            yield
        except ConfigurationError as error:
            self.add_refused(path, error)

    def add_invalid(self, error: ValidationError, schema: Mapping[str, Any]) -> None:
        """Notes what the validation refused; `schema` knows the names there could be."""
        for detail in error.errors(include_url=False):
            path: Path = tuple(detail["loc"])
            if any(spelled(path) == known for known, _ in self._lines):
                continue
            refused = detail.get("ctx", {}).get("error")
            if isinstance(refused, ConfigurationError):
                self.add_refused(path, refused)
            else:
                self.add(path, _why(detail, path, schema))

    def refuse(self) -> None:
        """Ends it here when anything was wrong.

        Raises:
            ConfigurationError: with every mistake, one a line.
        """
        if len(self._lines) == 1:
            path, why = self._lines[0]
            raise ConfigurationError(f"{self.source}: {path}" if path else self.source, why)
        if self._lines:
            lines = [": ".join(filter(None, (self.source, *line))) for line in self._lines]
            raise ConfigurationError(
                self.source, "\n".join([f"{len(lines)} things are wrong", *lines])
            )


def spelled(path: Iterable[str | int]) -> str:
    """A path as people write it: `routes.coding.tiers[0]`, `prices["gpt-4.1"].input`."""
    said = ""
    for part in path:
        if isinstance(part, int):
            said += f"[{part}]"
        elif re.fullmatch(r"[\w/-]+", part):
            said += f".{part}" if said else part
        else:
            said += f'["{part}"]'
    return said


def _setting(what: str) -> Path:
    """The setting that an error of the core names: `Provider('a').weight` is about `weight`."""
    found = re.search(r"(?:^|\.)([a-z_]+)(?:\[(.+)\])?$", what)
    if found is None:
        return ()
    return (found[1],) if found[2] is None else (found[1], found[2].strip("'\""))


_EXPECTED: Mapping[str, str] = {
    "missing": "is needed",
    "int_": "must be a whole number",
    "float_": "must be a number",
    "finite_number": "must be finite",
    "string_type": "must be a text",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "bool_": "must be true or false",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a section of settings",
    "mapping_type": "must be a section of settings",
    "model_type": "must be a section of settings",
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be greater than {gt}",
    "less_than_equal": "must be at most {le}",
    "value_error": "{error}",
}
"""What was expected, by the beginning of pydantic's name for the mistake."""


def _why(detail: ErrorDetails, path: Path, schema: Mapping[str, Any]) -> str:
    kind, given, details = detail["type"], detail["input"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return f"unknown setting {check.near(str(path[-1]), names_at(schema, path[:-1]))}"
    if kind in {"literal_error", "enum"}:
        return f"must be one of {details['expected']}{_instead(path, given)}"
    for beginning, expected in _EXPECTED.items():
        if kind.startswith(beginning):
            told = "" if kind in {"missing", "too_short", "string_too_short"} else given
            return expected.format_map(details) + _instead(path, told)
    return detail["msg"][:1].lower() + detail["msg"][1:] + _instead(path, given)


def _instead(path: Path, given: Any) -> str:
    """What stands there instead, where that may be shown."""
    if given == "" or SECRET.intersection(path):
        return ""
    if isinstance(given, FromEnvironment):
        return f", which the value of {given.written} is not"
    if isinstance(given, dict):
        return ", not a section"
    if isinstance(given, list | tuple):
        return ", not a list"
    return ", not nothing" if given is None else f", not {given!r}"


def names_at(schema: Mapping[str, Any], path: Path) -> list[str]:
    """The settings that the JSON Schema knows at a place."""
    here = [schema]
    for part in path:
        found = [inner for one in _choices(schema, here) for inner in _inner(one, part)]
        here = [_resolved(schema, inner) for inner in found]
    return [name for one in _choices(schema, here) for name in one.get("properties", ())]


def _choices(schema: Mapping[str, Any], here: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Each shape by itself where a place may have one of several."""
    inner = [_resolved(schema, choice) for one in here for choice in one.get("anyOf", ())]
    return [*here, *inner]


def _inner(shape: Mapping[str, Any], part: str | int) -> list[Mapping[str, Any]]:
    found = shape.get("properties", {}).get(part)
    if found is None:
        found = shape.get("items" if isinstance(part, int) else "additionalProperties")
    return [found] if isinstance(found, dict) else []


def _resolved(schema: Mapping[str, Any], shape: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = shape.get("$ref")
    found: Mapping[str, Any] = shape
    if reference is not None:
        found = schema["$defs"][reference.rpartition("/")[2]]
    return found
