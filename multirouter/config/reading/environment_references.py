"""References to environment variables in a configuration file: `${NAME}`, `${NAME:-default}`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from multirouter.config.problems import FromEnvironment, Problems

if TYPE_CHECKING:
    from multirouter.config.problems import Path as SettingPath

_REFERENCE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}|\$\{")


class EnvironmentReferences:
    """Replaces `${NAME}` and `${NAME:-default}` by values of the environment.

    Args:
        environ: the environment variables.
        problems: collects variables that are not set and references that cannot be read.
    """

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
