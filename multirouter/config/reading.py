"""A file into plain data, its references into values, the data into a valid document."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from multirouter.config.problems import Faults, FromEnvironment
from multirouter.errors import ConfigurationError

if TYPE_CHECKING:
    from multirouter.config import problems as told
    from multirouter.config.document import Document

EXTRA = "pip install 'multirouter[gateway]'"

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")


def read(path: Path, environ: Mapping[str, str]) -> tuple[Document, Faults]:
    """Reads a file whole.

    Raises:
        ConfigurationError: for what is no YAML or TOML, and with everything that is wrong in it.
        OSError: when it cannot be read.
    """
    faults = Faults(str(path))
    try:
        return validated(parsed(path), environ, faults), faults
    except RecursionError:
        why = "is nested too deeply, or has an alias within itself"
        raise ConfigurationError(str(path), why) from None


def parsed(path: Path) -> Any:
    """A file as plain data.

    Raises:
        ConfigurationError: naming the line, for what is no YAML or TOML.
        OSError: when it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(str(path), f"is no UTF-8 text: {error.reason}") from None
    if path.suffix == ".toml":
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(str(path), f"is no TOML: {error}") from None
    if path.suffix not in {".yaml", ".yml"}:
        raise ConfigurationError(str(path), "must be called .yaml, .yml or .toml")
    from multirouter.config.yamlfile import parse

    return parse(str(path), text)


def validated(data: Any, environ: Mapping[str, str], faults: Faults) -> Document:
    """Data as a document.

    Raises:
        ConfigurationError: with everything that is wrong, one a line; when pydantic is missing.
    """
    try:
        from pydantic import ValidationError
    except ImportError:
        raise ConfigurationError("the configuration", f"needs pydantic: {EXTRA}") from None
    from multirouter.config.document import Document
    from multirouter.config.schema import make_schema

    resolved = _Resolver(environ, faults).resolve(data, ())
    try:
        document = Document.model_validate(resolved)
    except ValidationError as error:
        faults.add_invalid(error, make_schema())
        faults.refuse()
        raise AssertionError("a validation that fails says why") from error
    faults.refuse()
    return document


class _Resolver:
    """Puts the environment's values in the place of `${NAME}` and `${NAME:-default}`."""

    def __init__(self, environ: Mapping[str, str], faults: Faults) -> None:
        self._environ = environ
        self._faults = faults

    def resolve(self, data: Any, path: told.Path) -> Any:
        """The same data without references; `$${` stands for `${` itself."""
        if isinstance(data, dict):
            return {
                key: self.resolve(value, (*path, str(key)))
                for key, value in data.items()
                if self._is_name(key, path)
            }
        if isinstance(data, list):
            return [self.resolve(value, (*path, number)) for number, value in enumerate(data)]
        return self._text(data, path) if isinstance(data, str) and "${" in data else data

    def _is_name(self, key: object, path: told.Path) -> bool:
        if isinstance(key, str):
            return True
        self._faults.add(path, f"the name {key!r} must be a text: put it in quotes")
        return False

    def _text(self, written: str, path: told.Path) -> str:
        def value(found: re.Match[str]) -> str:
            name, default = found[1], found[2]
            if name is None:
                if found[0] == "${":
                    self._faults.add(path, "has a ${ that is no ${NAME} or ${NAME:-default}")
                return "${"
            text = self._environ.get(name)
            if default is not None:
                text = text or default
            if text is None:
                self._faults.add(path, f"the environment variable {name} is not set")
                return ""
            self._faults.hide(text, f"${{{name}}}")
            return text

        return FromEnvironment(_REFERENCE.sub(value, written), written)
