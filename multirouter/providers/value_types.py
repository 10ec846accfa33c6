"""Checks of the types of JSON values, which run for each value of a long conversation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard


def is_mapping(value: Any) -> TypeGuard[Mapping[str, Any]]:
    """The same as `isinstance`, in a tenth of its time for a dict, which nearly all are."""
    return type(value) is dict or isinstance(value, Mapping)
