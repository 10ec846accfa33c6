"""The file of a gateway's keys: read whole, replaced whole, for its owner's eyes alone."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from multirouter.config.keys import KeyBook, KeyRecord
from multirouter.core import validation as check
from multirouter.core.cost.budgets import Budget
from multirouter.errors import ConfigurationError

_KNOWN = frozenset(field.name for field in fields(KeyRecord))


def read_keys(path: Path) -> KeyBook:
    """The keys of a file.

    Raises:
        ConfigurationError: when it is not there, or holds anything but keys.
        OSError: when it cannot be read.
    """
    try:
        hold_changed = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            str(path), "is not there: make it by `multirouter keys new NAME`"
        ) from None
    except ValueError as error:
        raise ConfigurationError(str(path), f"is no JSON: {error}") from None
    if not isinstance(hold_changed, dict) or not isinstance(hold_changed.get("keys"), list):
        raise ConfigurationError(str(path), 'must hold an object with a list, "keys"')
    return KeyBook(_record(f"{path}: keys[{n}]", one) for n, one in enumerate(hold_changed["keys"]))


def write_keys(path: Path, book: KeyBook) -> None:
    """Puts a book into a file in one step: whoever reads sees the old one or the new one.

    A file that was there keeps its mode and its owner, or a gateway that runs as a user of its own
    could not read what root has written.

    Raises:
        OSError: when it cannot be written.
    """
    hold_changed = {"keys": [_plain(record) for record in book.records]}
    # Made by `mkstemp`, which gives it to its owner alone (mode 600).
    with NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as new:
        try:
            new.write(json.dumps(hold_changed, indent=2) + "\n")
            new.flush()
            os.fsync(new.fileno())
            _keep_owner(path, Path(new.name))
            Path(new.name).replace(path)
        except BaseException:
            Path(new.name).unlink(missing_ok=True)
            raise


def _keep_owner(old: Path, new: Path) -> None:
    """Gives a file the mode of another and, where that is allowed and known, its owner."""
    if not old.exists():
        return
    shutil.copymode(old, new)
    if sys.platform != "win32":
        before = old.stat()
        with suppress(PermissionError):
            os.chown(new, before.st_uid, before.st_gid)


def _record(what: str, hold_changed: Any) -> KeyRecord:
    if not isinstance(hold_changed, dict):
        raise ConfigurationError(what, f"must be an object, not {hold_changed!r}")
    for name in hold_changed.keys() - _KNOWN:
        raise ConfigurationError(what, f"unknown setting {check.near(name, _KNOWN)}")
    try:
        return KeyRecord(**{**hold_changed, **_rebuilt(hold_changed)})
    except ConfigurationError as error:
        raise ConfigurationError(f"{what}.{error.what.rpartition('.')[2]}", error.why) from None
    except TypeError as error:
        raise ConfigurationError(what, str(error).partition("() ")[2] or str(error)) from None


def _rebuilt(hold_changed: Mapping[str, Any]) -> dict[str, Any]:
    """What JSON has no types for."""
    rebuilt: dict[str, Any] = {"routes": tuple(hold_changed.get("routes") or ())}
    if hold_changed.get("budget") is not None:
        rebuilt["budget"] = Budget(**hold_changed["budget"])
    return rebuilt


def _plain(record: KeyRecord) -> dict[str, Any]:
    """A record as JSON, without what says nothing."""
    told = {name: value for name, value in asdict(record).items() if value not in (None, (), False)}
    if record.budget is not None:
        told["budget"] = {"usd": record.budget.usd, "per": record.budget.per}
    return told
