"""Configuration files and environments as routers: `load`, `discover`, `Settings`.

Pydantic, the validation library (extra `gateway`), is imported when the first configuration is
read.
"""

from __future__ import annotations

from multirouter.config.client_keys.hashed_keys import KeyBook, KeyRecord
from multirouter.config.settings import Settings, discover, load

__all__ = ["KeyBook", "KeyRecord", "Settings", "discover", "load"]
