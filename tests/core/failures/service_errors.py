"""Error bodies of services, read from `service_errors.toml`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from multirouter.model import FailureKind

FILE = Path(__file__).with_name("service_errors.toml")


class ServiceError(NamedTuple):
    """One error response of a service, and the kind that it means."""

    service: str
    status: int
    body: Any
    kind: FailureKind


def _read() -> list[ServiceError]:
    rows = tomllib.loads(FILE.read_text(encoding="utf-8"))["errors"]
    return [
        ServiceError(
            row["service"], row["status"], json.loads(row["body"]), FailureKind(row["kind"])
        )
        for row in rows
    ]


ERRORS = _read()
