"""One file, or the environment, becomes a router: `load`, `discover`, `Settings`.

Light to import: the library that validates (pydantic, of the extra `gateway`) is loaded when the
first configuration is read.
"""

from __future__ import annotations

from multirouter.config.keys import KeyBook, KeyRecord
from multirouter.config.settings import Settings, discover, load

__all__ = ["KeyBook", "KeyRecord", "Settings", "discover", "load"]
