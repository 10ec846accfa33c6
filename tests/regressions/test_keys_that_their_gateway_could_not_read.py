"""Each `keys new` by root took the file from the gateway's user, which could start no more."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from multirouter.config.keyfile import read_keys, write_keys
from multirouter.config.keys import KeyBook


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of keys that a group may read."""
    path = tmp_path / "keys.json"
    write_keys(path, KeyBook().new("anna")[0])
    path.chmod(0o640)
    return path


def test_a_file_keeps_its_mode(path: Path) -> None:
    """Whoever could read the old keys can read the new ones."""
    write_keys(path, KeyBook().new("bert")[0])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root gives files to others"
)
def test_a_file_keeps_its_owner(path: Path) -> None:
    """The gateway's user still owns what root has written."""
    os.chown(path, 65534, 65534)
    write_keys(path, KeyBook().new("bert")[0])
    found = path.stat()
    assert (found.st_uid, found.st_gid) == (65534, 65534)


def test_an_owner_that_cannot_be_kept_stops_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may not give files away still writes keys, as the file's new owner."""

    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.chown", refused)
    write_keys(path, KeyBook().new("bert")[0])
    assert [record.name for record in read_keys(path).records] == ["bert"]
