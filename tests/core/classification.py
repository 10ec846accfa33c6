"""A classifier that records its errors, and exceptions with attributes to classify."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from multirouter.core.failures.classify import Classifier
from multirouter.core.failures.exception_details import ExceptionDetails
from multirouter.model import Verdict


class RecordingClassifier(Classifier):
    """A classifier that records what its hook, or reading an exception, raised.

    Attributes:
        errors: the recorded exceptions, in order.
    """

    def __init__(self, user: Callable[[BaseException | None, object], Any] | None = None) -> None:
        self.errors: list[Exception] = []
        super().__init__(user, wall=lambda: 1_700_000_000.0, on_error=self.errors.append)


def verdict(error: BaseException) -> Verdict:
    """The package's own verdict on an exception, which it must be able to read."""
    classifier = RecordingClassifier()
    found = classifier.classify_error(error)
    assert not classifier.errors
    return found


def with_fields(error: BaseException | None = None, **fields: object) -> BaseException:
    """An exception with these attributes; a RuntimeError if none is given."""
    error = error or RuntimeError("x")
    for name, value in fields.items():
        setattr(error, name, value)
    return error


def details(error: BaseException | None = None, **fields: object) -> ExceptionDetails:
    """What is read of an exception with these attributes; see `with_fields`."""
    return ExceptionDetails(with_fields(error, **fields))
