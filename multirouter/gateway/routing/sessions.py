"""Session of a client, as its headers name it: what belongs together under `strategy: sticky`."""

from __future__ import annotations

import re
from collections.abc import Mapping

MAX_SESSION = 200
"""Characters of a session's name that count."""

_NAMES = re.compile(r"(?:^|(?<!parent)[-_])(?:session|conversation|thread)[-_]?id$", re.IGNORECASE)
"""Names of headers that hold the id of a session.

Each agent has its own (`session_id`, `X-Claude-Code-Session-Id`, `X-Session-Id`), so the last words
of the name decide. The session that started it (`X-Parent-Session-Id`) has another prompt.
"""

_ENDS = frozenset({"id", "Id", "iD", "ID"})
"""Their last characters, compared first: most names need no search."""


def session_of(headers: Mapping[str, str]) -> str:
    """The id of the client's session; "" if no header names one.

    Args:
        headers: the headers of its request. Of several that name a session, the first counts.
    """
    for name, value in headers.items():
        if value and name[-2:] in _ENDS and _NAMES.search(name):
            return value[:MAX_SESSION]
    return ""
