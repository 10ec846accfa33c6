"""`keys new` keeps mode and owner of the key file, so that the gateway's user can still read it."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from multirouter.config.client_keys.hashed_keys import KeyBook
from multirouter.config.client_keys.key_file import load_keys, save_keys


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A key file that a group may read."""
    path = tmp_path / "keys.json"
    save_keys(path, KeyBook().new("anna")[0])
    path.chmod(0o640)
    return path


def test_a_file_keeps_its_mode(path: Path) -> None:
    """Users that could read the old file can read the new one."""
    save_keys(path, KeyBook().new("bert")[0])
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root may change the owner"
)
def test_a_file_keeps_its_owner(path: Path) -> None:
    """The gateway's user still owns the file after root wrote it."""
    os.chown(path, 65534, 65534)
    save_keys(path, KeyBook().new("bert")[0])
    found = path.stat()
    assert (found.st_uid, found.st_gid) == (65534, 65534)


def test_a_failed_chown_does_not_prevent_writing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user who may not change the owner still writes the keys, as the new owner."""

    def deny(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.chown", deny)
    save_keys(path, KeyBook().new("bert")[0])
    assert [record.name for record in load_keys(path).records] == ["bert"]
