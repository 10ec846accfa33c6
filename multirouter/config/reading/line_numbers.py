"""The line of each setting in a configuration file, for messages."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multirouter.config.problems import Path as SettingPath


def line_numbers(path: Path) -> Mapping[SettingPath, int]:
    """The line of each setting of a file; empty when it has become unreadable."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    if path.suffix == ".toml":
        return toml_lines(text)
    from multirouter.config.reading.yaml_loader import yaml_lines

    return yaml_lines(text)


def toml_lines(text: str) -> Mapping[SettingPath, int]:
    """The lines of tables and keys in TOML that is valid; values in several lines have none."""
    lines: dict[SettingPath, int] = {}
    table: SettingPath = ()
    for number, line in enumerate(text.splitlines(), 1):
        start = line.strip()
        if start.startswith("["):
            table = _toml_path(start.strip("[]#") + " = 0")
            lines.setdefault(table, number)
        elif "=" in start and not start.startswith("#"):
            lines.setdefault((*table, *_toml_path(start.partition("=")[0] + " = 0")), number)
    return lines


def _toml_path(text: str) -> SettingPath:
    """The path that a key of TOML names."""
    try:
        value: Any = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return ()
    path: list[str | int] = []
    while isinstance(value, dict) and value:
        key, value = next(iter(value.items()))
        path.append(key)
    return tuple(path)
