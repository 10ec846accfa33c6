"""Replaces what differs between two runs: paths, ports, addresses of objects, durations."""

from __future__ import annotations

import re
from pathlib import Path

from tests.messages.source_texts import ROOT

PATTERNS = [
    (r" at 0x[0-9a-fA-F]+", ""),
    (r"(127\.0\.0\.1|localhost):\d+", r"\1:PORT"),
    (r"\b[a-z_]+\.py:\d+", lambda found: re.sub(r"\d+$", "LINE", found[0])),
    (r"until \d{4}-\d\d-\d\d \d\d:\d\d", "until DATE"),
    (r"ClientPayloadError: .*?>", "ClientPayloadError: ..."),
    (r"\breq_[0-9a-zA-Z]+", "req_ID"),
]


def normalized(text: str, *folders: Path) -> str:
    """Returns a text that is the same in every run.

    Args:
        text: the text as it was rendered.
        folders: temporary folders, shown as FOLDER.
    """
    for folder in folders:
        text = text.replace(str(folder), "FOLDER")
    text = text.replace(str(ROOT), "CHECKOUT")
    for pattern, replacement in PATTERNS:
        text = re.sub(pattern, replacement, text)
    return text
