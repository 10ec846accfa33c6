"""Names that articles about hand-written routers use, answered by an error that gives ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "callable": "`call=`, the second argument of Provider",
        "circuit_breaker_threshold": "`circuit=CircuitPolicy(failures=...)`",
        "circuit_breaker_timeout": "`circuit=CircuitPolicy(open_duration=...)`",
        "max_retries": "`retry=RetryPolicy(attempts=...)`, which counts the first attempt",
    }
)
"""What a setting of those routers is called here."""

CLASSES: Mapping[str, str] = MappingProxyType({"AIProvider": "Provider"})
"""What a class of those routers is called here."""


def refuse_unknown(what: str, unknown: Mapping[str, object], known: Iterable[str]) -> None:
    """Checks that there is no unknown setting.

    Args:
        what: the object, for the error.
        unknown: the settings that it does not have, by name.
        known: the names that it has.

    Raises:
        ConfigurationError: there is one; it names the setting to use, or the closest name.
    """
    for name in unknown:
        if name in SETTINGS:
            raise ConfigurationError(what, f"unknown setting {name!r}: use {SETTINGS[name]}")
        raise ConfigurationError(what, f"unknown setting {check.suggestion(name, known)}")
