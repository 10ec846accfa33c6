"""Exceptions whose attributes cannot be read."""

from __future__ import annotations

import pytest

from multirouter import FailureKind, ProviderError
from multirouter.core.failures.unreadable_exceptions import readable


class Hostile(Exception):
    """Raises when one of its attributes is read."""

    def __init__(self, attribute: str) -> None:
        super().__init__(attribute)
        self.attribute = attribute

    def __getattribute__(self, name: str) -> object:
        if name == object.__getattribute__(self, "attribute"):
            raise RuntimeError("not to be read")
        return object.__getattribute__(self, name)


def test_an_ordinary_exception_stays_the_same() -> None:
    """It is the provider's own that the caller gets."""
    error = OSError()
    assert readable(error, "a") is error


@pytest.mark.parametrize("attribute", ["__class__", "__cause__", "__context__", "__traceback__"])
def test_one_that_raises_is_replaced(attribute: str) -> None:
    """An error that names its class and the provider stands for it."""
    error = readable(Hostile(attribute), "a")
    assert isinstance(error, ProviderError)
    assert (error.kind, error.provider) == (FailureKind.UNKNOWN, "a")
    assert str(error) == "'a' raised Hostile, whose attributes cannot be read"
