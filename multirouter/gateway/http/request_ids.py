"""Ids of requests: the client's own, or new ones."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping

_VALID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def request_ids() -> Callable[[], str]:
    """Makes ids of 96 random bits; seeded by the system once, not for every request."""
    source = random.Random()
    return lambda: f"req_{source.getrandbits(96):024x}"


def request_id(headers: Mapping[str, str], new_id: Callable[[], str]) -> str:
    """The client's id if it is valid in a header, else a new one."""
    id_ = headers.get("X-Request-Id", "")
    return id_ if _VALID.fullmatch(id_) else new_id()
