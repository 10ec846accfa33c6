"""Reads a configuration file, resolves its references, and validates it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multirouter.config.problems import FromEnvironment, Problems
from multirouter.errors import ConfigurationError

if TYPE_CHECKING:
    from multirouter.config.document import Document
    from multirouter.config.problems import Path as SettingPath

EXTRA = "pip install 'multirouter[gateway]'"

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")


def read(path: Path, environ: Mapping[str, str]) -> tuple[Document, Problems]:
    """Reads and validates a file.

    Raises:
        ConfigurationError: invalid YAML or TOML, or invalid settings, with all errors.
        OSError: the file cannot be read.
    """
    problems = Problems(str(path))
    try:
        return validate_document(parse_file(path), environ, problems), problems
    except RecursionError:
        why = "is nested too deeply, or has an alias that contains itself"
        raise ConfigurationError(str(path), why) from None


def parse_file(path: Path) -> Any:
    """Parses a YAML or TOML file into plain data.

    Raises:
        ConfigurationError: invalid YAML or TOML, with the line; or an unknown file extension.
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
    from multirouter.config.yaml_loader import parse

    return parse(str(path), text)


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

    resolved = _Resolver(environ, problems).resolve(data, ())
    try:
        document = Document.model_validate(resolved)
    except ValidationError as error:
        problems.add_validation_error(error, make_schema())
        problems.raise_if_any()
        raise AssertionError("a ValidationError without errors") from error
    problems.raise_if_any()
    return document


class _Resolver:
    """Replaces `${NAME}` and `${NAME:-default}` by values of the environment."""

    def __init__(self, environ: Mapping[str, str], problems: Problems) -> None:
        self._environ = environ
        self._problems = problems

    def resolve(self, data: Any, path: SettingPath) -> Any:
        """The same data with references replaced; `$${` is a literal `${`."""
        if isinstance(data, dict):
            return {
                key: self.resolve(value, (*path, str(key)))
                for key, value in data.items()
                if self._is_name(key, path)
            }
        if isinstance(data, list):
            return [self.resolve(value, (*path, number)) for number, value in enumerate(data)]
        return self._text(data, path) if isinstance(data, str) and "${" in data else data

    def _is_name(self, key: object, path: SettingPath) -> bool:
        if isinstance(key, str):
            return True
        self._problems.add(path, f"key {key!r} must be a string: quote it")
        return False

    def _text(self, source: str, path: SettingPath) -> str:
        def value(match: re.Match[str]) -> str:
            name, default = match[1], match[2]
            if name is None:
                if match[0] == "${":
                    self._problems.add(
                        path,
                        "invalid reference: must be ${NAME} or ${NAME:-default}; write $${ for ${",
                    )
                return "${"
            text = self._environ.get(name)
            if default is not None:
                text = text or default
            if text is None:
                self._problems.add(path, f"environment variable {name} is not set")
                return ""
            self._problems.hide(text, f"${{{name}}}")
            return text

        return FromEnvironment(_REFERENCE.sub(value, source), source)
