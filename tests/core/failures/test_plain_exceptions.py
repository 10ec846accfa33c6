"""Exceptions without fields, whose attributes are not read one by one."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.failures.exception_details import ExceptionDetails
from multirouter.core.failures.exception_types import FIELDS, is_plain


class Slotted(Exception):
    """An exception with a field in a slot."""

    __slots__ = ("status_code",)


class Late(Exception):
    """An exception that finds its fields itself."""

    def __getattr__(self, name: str) -> Any:
        """A status, whatever is asked for."""
        if name.startswith("__"):
            raise AttributeError(name)
        return 429


class Watched(Exception):
    """An exception that records which of its attributes are read."""

    def __getattribute__(self, name: str) -> Any:
        """Any attribute."""
        READ.add(name)
        return super().__getattribute__(name)


READ: set[str] = set()


class HostileMeta(type):
    """A metaclass whose classes cannot be read."""

    def __getattribute__(cls, name: str) -> Any:
        """All but the attributes that an exception may have."""
        if name in FIELDS:
            raise RuntimeError(name)
        return super().__getattribute__(name)


class Hostile(Exception, metaclass=HostileMeta):  # type: ignore[metaclass] # it is meant
    """An exception of such a class."""


@pytest.mark.parametrize("cls", [ConnectionError, ValueError, RuntimeError, TimeoutError, OSError])
def test_exceptions_of_python_are_plain(cls: type[Exception]) -> None:
    """Their details are their text alone."""
    error = cls("Rate limit")
    assert is_plain(error)
    details = ExceptionDetails(error)
    assert (details.text, details.status, details.retried) == ("rate limit", None, False)


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_makes_an_exception_rich(name: str) -> None:
    """In its class or in itself, also when other instances of the class have none."""
    assert not is_plain(type("Failure", (Exception,), {name: 429})())
    error = Exception("failed")
    assert is_plain(error)
    setattr(error, name, 429)
    assert not is_plain(error)


@pytest.mark.parametrize("error", [Slotted(), Late(), Watched(), UnicodeError()])
def test_what_may_have_fields_is_read(error: Exception) -> None:
    """Fields in slots, and those that a function of the class finds."""
    assert is_plain(error) == isinstance(error, UnicodeError)


def test_a_status_that_is_found_late_counts() -> None:
    """`__getattr__` of a class is asked as before."""
    assert ExceptionDetails(Late()).status == 429


def test_a_class_that_cannot_be_read_is_not_plain() -> None:
    """Its exceptions are read with the care that all foreign ones get."""
    assert not is_plain(Hostile())


def test_the_fields_are_those_that_are_read() -> None:
    """A field that is read and not listed would be missed in a plain exception."""
    READ.clear()
    error = Watched("failed")
    error.__dict__["note"] = "so that it has a dict"
    ExceptionDetails(error)
    assert {name for name in READ if not name.startswith("__")} == set(FIELDS)
