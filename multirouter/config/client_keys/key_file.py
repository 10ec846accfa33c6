"""The key file of a gateway: JSON, replaced atomically, readable by its owner only."""

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

from multirouter.config.client_keys.hashed_keys import KeyBook, KeyRecord
from multirouter.core import validation as check
from multirouter.core.cost.budget import Budget
from multirouter.errors import ConfigurationError

_KNOWN = frozenset(field.name for field in fields(KeyRecord))


def load_keys(path: Path) -> KeyBook:
    """Reads a key file.

    Raises:
        ConfigurationError: the file does not exist or is invalid.
        OSError: the file cannot be read.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            str(path), "does not exist; create it with `multirouter keys new NAME`"
        ) from None
    except ValueError as error:
        raise ConfigurationError(str(path), f"invalid JSON: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("keys"), list):
        kind = type(data).__name__
        raise ConfigurationError(str(path), f'must be an object with a list "keys", got a {kind}')
    return KeyBook(_record(f"{path}: keys[{n}]", one) for n, one in enumerate(data["keys"]))


def save_keys(path: Path, book: KeyBook) -> None:
    """Writes a key file atomically: readers see either the old or the new file.

    An existing file keeps its mode and owner: a gateway that runs as its own user could not read
    a file of root.

    Raises:
        ConfigurationError: its folder does not exist.
        OSError: the file cannot be written.
    """
    if not path.parent.is_dir():
        raise ConfigurationError(str(path), f"must be in a folder that exists, got {path.parent}")
    data = {"keys": [_to_json(record) for record in book.records]}
    # Created by `mkstemp` with mode 600: readable by its owner only.
    with NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as new:
        try:
            new.write(json.dumps(data, indent=2) + "\n")
            new.flush()
            os.fsync(new.fileno())
            _keep_owner(path, Path(new.name))
            Path(new.name).replace(path)
        except BaseException:
            Path(new.name).unlink(missing_ok=True)
            raise


def _keep_owner(old: Path, new: Path) -> None:
    """Copies the mode of a file and, where permitted and supported, its owner."""
    if not old.exists():
        return
    shutil.copymode(old, new)
    if sys.platform != "win32":
        before = old.stat()
        with suppress(PermissionError):
            os.chown(new, before.st_uid, before.st_gid)


def _record(what: str, data: Any) -> KeyRecord:
    if not isinstance(data, dict):
        raise ConfigurationError(what, f"must be an object, got {data!r}")
    for name in data.keys() - _KNOWN:
        raise ConfigurationError(what, f"unknown setting {check.suggestion(name, _KNOWN)}")
    try:
        return KeyRecord(**{**data, **_from_json(data)})
    except ConfigurationError as error:
        raise ConfigurationError(f"{what}.{error.what.rpartition('.')[2]}", error.why) from None
    except TypeError as error:
        missing = [name for name in ("name", "id", "digest") if name not in data]
        why = f"requires {', '.join(missing)}" if missing else f"invalid budget: {error}"
        raise ConfigurationError(what, why) from None


def _from_json(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record whose types JSON does not have."""
    values: dict[str, Any] = {"routes": tuple(data.get("routes") or ())}
    if data.get("budget") is not None:
        values["budget"] = Budget(**data["budget"])
    return values


def _to_json(record: KeyRecord) -> dict[str, Any]:
    """A record as JSON, without empty fields."""
    data = {name: value for name, value in asdict(record).items() if value not in (None, (), False)}
    if record.budget is not None:
        data["budget"] = {"usd": record.budget.usd, "per": record.budget.per}
    return data
