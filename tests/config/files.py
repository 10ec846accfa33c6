"""What the tests of configurations share: writing one down, and reading what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from multirouter import ConfigurationError
from multirouter.config import Settings, load

KEY = "sk-not-a-real-key-0123456789"


def written(folder: Path, text: str, name: str = "multirouter.yaml") -> Path:
    """Writes a configuration and returns where it is."""
    path = folder / name
    path.write_text(dedent(text), encoding="utf-8")
    return path


def loaded(folder: Path, text: str, **environ: str) -> Settings:
    """Loads a YAML text under an environment of these variables alone."""
    return load(written(folder, text), environ)


def refused(folder: Path, text: str, **environ: str) -> str:
    """What is said against a configuration, without the file's own name."""
    path = written(folder, text)
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ)
    return str(caught.value).replace(f"{path}: ", "")
