"""The key file of a gateway: JSON, replaced atomically, readable by its owner only."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
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
    listed = data.get("keys") if isinstance(data, dict) else None
    if not isinstance(listed, list):
        problem = f'must be an object with a list "keys", got {_shape(data)}'
        raise ConfigurationError(str(path), problem)
    records = [_record(f"{path}: keys[{n}]", one) for n, one in enumerate(listed)]
    _check_unique(path, records)
    return KeyBook(records)


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


def _shape(data: Any) -> str:
    """What a file contains instead; its values are not shown, one may be a key."""
    return _JSON_TYPES.get(type(data), "a number")


_JSON_TYPES = {
    dict: "an object without such a list",
    list: "a list",
    str: "a string",
    bool: "true or false",
    type(None): "null",
}


def _check_unique(path: Path, records: Sequence[KeyRecord]) -> None:
    """Checks that names and ids are unique among active keys."""
    first: dict[tuple[str, str], int] = {}
    for n, record in enumerate(records):
        for field in ("name", "id") if record.revoked is None else ():
            value = getattr(record, field)
            other = first.setdefault((field, value), n)
            if other != n:
                problem = f"must be unique among active keys, got {value!r} as in keys[{other}]"
                raise ConfigurationError(f"{path}: keys[{n}].{field}", problem)


def _record(what: str, data: Any) -> KeyRecord:
    _check_members(what, data, _KNOWN, ("name", "id", "digest"))
    try:
        return KeyRecord(**{**data, **_from_json(data)})
    except ConfigurationError as error:
        setting = error.what.replace("Budget.", "KeyRecord.budget.").removeprefix("KeyRecord.")
        raise ConfigurationError(f"{what}.{setting}", error.why) from None


def _from_json(data: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a record whose types JSON does not have."""
    values: dict[str, Any] = {}
    if "routes" in data:
        if not isinstance(data["routes"], list):
            # Also what is empty: a key without routes may use all of them.
            problem = f"must be a list of names or patterns of routes, got {data['routes']!r}"
            raise ConfigurationError("KeyRecord.routes", problem)
        values["routes"] = tuple(data["routes"])
    if data.get("budget") is not None:
        _check_members("KeyRecord.budget", data["budget"], frozenset({"usd", "per"}), ("usd",))
        values["budget"] = Budget(**data["budget"])
    return values


def _check_members(what: str, data: Any, known: AbstractSet[str], required: Iterable[str]) -> None:
    """Checks that a value is an object with the required and no unknown members."""
    if not isinstance(data, dict):
        raise ConfigurationError(what, f"must be an object, got {data!r}")
    for name in data.keys() - known:
        raise ConfigurationError(what, f"unknown setting {check.suggestion(name, known)}")
    missing = [name for name in required if name not in data]
    if missing:
        raise ConfigurationError(what, f"requires {', '.join(missing)}")


def _to_json(record: KeyRecord) -> dict[str, Any]:
    """A record as JSON, without empty fields."""
    data = {name: value for name, value in asdict(record).items() if value not in (None, (), False)}
    if record.budget is not None:
        data["budget"] = {"usd": record.budget.usd, "per": record.budget.per}
    return data
