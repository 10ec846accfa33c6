"""Helpers of the configuration tests: write a file, load it, get its error message."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest

from multirouter import ConfigurationError
from multirouter.config import Settings, load

KEY = "sk-not-a-real-key-0123456789"


def write_config(folder: Path, text: str, name: str = "multirouter.yaml") -> Path:
    """Writes a configuration file and returns its path."""
    path = folder / name
    path.write_text(dedent(text), encoding="utf-8")
    return path


def load_config(folder: Path, text: str, **environ: str) -> Settings:
    """Loads YAML with an environment of these variables only."""
    return load(write_config(folder, text), environ)


def config_error(folder: Path, text: str, **environ: str) -> str:
    """The error message of an invalid configuration, without the file's path."""
    path = write_config(folder, text)
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ)
    return re.sub(rf"{re.escape(str(path))}(:\d+)?: ", "", str(caught.value))
