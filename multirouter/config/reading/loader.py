"""Reads a configuration file, resolves its references, and validates it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multirouter.config.problems import Problems, place_of
from multirouter.config.reading.environment_references import EnvironmentReferences
from multirouter.config.reading.line_numbers import line_numbers
from multirouter.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import ValidationError

    from multirouter.config.document import Document

MAX_INVALID = 100
"""Rounds in which invalid settings are left out."""

MAX_VALUES = 1_000_000
"""Values of a file: more take longer than a few seconds to validate."""

EXTRA = "pip install 'multirouter[gateway]'"


def read(path: Path, environ: Mapping[str, str]) -> tuple[Document, Problems]:
    """Reads and validates a file.

    Raises:
        ConfigurationError: invalid YAML or TOML, or invalid settings, with all errors.
        OSError: the file cannot be read.
    """
    problems = Problems(str(path), lambda: line_numbers(path))
    try:
        return validate_document(parse_file(path), environ, problems), problems
    except RecursionError:
        why = "is nested too deeply, or has an alias that contains itself"
        raise ConfigurationError(str(path), why) from None


def parse_file(path: Path) -> Any:
    """Parses a YAML or TOML file into plain data.

    Raises:
        ConfigurationError: invalid YAML or TOML, with the line; an unknown file extension; or
            PyYAML is missing.
        OSError: the file cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), f"invalid UTF-8: {error.reason}") from None
    if path.suffix == ".toml":
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(str(path), f"invalid TOML: {error}") from None
    if path.suffix not in {".yaml", ".yml"}:
        allowed = ".yaml, .yml or .toml"
        why = f"must have the file extension {allowed}, got {path.suffix or 'none'}"
        raise ConfigurationError(str(path), why)
    try:
        from multirouter.config.reading.yaml_loader import parse
    except ImportError:
        raise ConfigurationError(str(path), f"requires PyYAML: {EXTRA}") from None
    data = parse(str(path), text)
    count = _values_in(data, {})
    if count > MAX_VALUES:
        why = f"must have at most {MAX_VALUES} values, got {count}; an alias counts as all it names"
        raise ConfigurationError(str(path), why)
    return data


def _values_in(data: Any, counted: dict[int, int]) -> int:
    """How many values plain data has as a tree, in which an alias is a copy.

    Args:
        data: the data.
        counted: the numbers of parts that are known, by identity: aliases of aliases multiply.
    """
    if not isinstance(data, dict | list):
        return 1
    count = counted.get(id(data))
    if count is None:
        parts = data.values() if isinstance(data, dict) else data
        count = counted[id(data)] = 1 + sum(_values_in(part, counted) for part in parts)
    return count


def validate_document(data: Any, environ: Mapping[str, str], problems: Problems) -> Document:
    """Resolves references in plain data and validates it.

    Raises:
        ConfigurationError: invalid settings, all errors, one per line; or pydantic is missing.
    """
    try:
        from pydantic import ValidationError
    except ImportError:
        raise ConfigurationError("the configuration", f"requires pydantic: {EXTRA}") from None
    from multirouter.config.document import Document
    from multirouter.config.schema import make_schema

    resolved = EnvironmentReferences(environ, problems).resolve(data, ())
    try:
        document = Document.model_validate(resolved)
    except ValidationError as error:
        schema = make_schema()
        problems.add_validation_error(error, schema)
        document = _valid_rest(resolved, error, problems, schema)
    problems.expect_consequences()
    return document


def _valid_rest(
    data: Any, error: ValidationError, problems: Problems, schema: Mapping[str, Any]
) -> Document:
    """The document without its invalid settings, so that the others are checked as well.

    Those that show only then are added to the problems.

    Raises:
        ConfigurationError: nothing is left that could be checked.
    """
    from pydantic import ValidationError

    from multirouter.config.document import Document

    rest = _copied(data)
    for _ in range(MAX_INVALID):
        removed = [_remove(rest, place_of(one)) for one in error.errors(include_url=False)]
        if not any(removed):
            break
        try:
            return Document.model_validate(rest)
        except ValidationError as again:
            error = again
            problems.expect_consequences()
            problems.add_validation_error(again, schema)
    problems.raise_if_any()
    raise AssertionError("a ValidationError without errors") from error


def _copied(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _copied(value) for key, value in data.items()}
    return [_copied(value) for value in data] if isinstance(data, list) else data


def _remove(data: Any, path: Sequence[str | int]) -> bool:
    """Removes the setting at a path, or the nearest one around it; False when there is none."""
    found: tuple[Any, Any] | None = None
    part: Any
    for part in path:
        inside = isinstance(data, dict) and part in data
        if not inside and not (isinstance(data, list) and part in range(len(data))):
            break
        found, data = (data, part), data[part]
    if found is None:
        return False
    container, key = found
    if len(path) == 2 and path[0] == "providers":
        container[key] = {"kind": "echo"}  # routes may name it
    else:
        del container[key]
    return True
