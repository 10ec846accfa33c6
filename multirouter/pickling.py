"""Pickling and copying of objects that hold exceptions of other libraries.

Such an exception may be unpicklable, or worse: one that cannot be restored breaks the process that
receives it, as `concurrent.futures.ProcessPoolExecutor` does then.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Never

if TYPE_CHECKING:
    from typing import Self


class UnpicklableError(Exception):
    """Stands for an exception that cannot be pickled, in a pickled error, record or outcome.

    Attributes:
        original: the class of the exception, with its module (`openai.APIStatusError`).
        message: its message.
    """

    def __init__(self, original: str, message: str) -> None:
        super().__init__(original, message)
        self.original = original
        self.message = message

    def __str__(self) -> str:
        return f"{self.original}: {self.message}"


class Copyable:
    """Base class of objects that survive pickle and copy with exceptions of others in them.

    Pickling replaces an attribute that is an exception of another library and would not survive
    it, by an `UnpicklableError`; copies share all such exceptions.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        """The class, the arguments of an exception, and the attributes."""
        state = {name: _for_pickle(value) for name, value in _attributes(self)}
        return _blank, (type(self), *_arguments(self)), state

    def __setstate__(self, state: dict[str, Any] | None, /) -> None:
        """Sets the attributes of an unpickled object."""
        for name, value in (state or {}).items():
            setattr(self, name, value)

    def __copy__(self) -> Self:
        """A copy that shares the attributes."""
        twin: Self = _blank(type(self), *_arguments(self))
        twin.__setstate__(dict(_attributes(self)))
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy with copies of the attributes; exceptions of other libraries are shared."""
        twin: Self = _blank(type(self), *copy.deepcopy(_arguments(self), memo))
        memo[id(self)] = twin
        for name, value in _attributes(self):
            foreign = isinstance(value, BaseException) and not isinstance(value, Copyable)
            setattr(twin, name, value if foreign else copy.deepcopy(value, memo))
        return twin


class NotCopyable:
    """Base class of objects that are bound to an event loop: copy and pickle raise TypeError."""

    __slots__ = ()

    def __reduce__(self) -> Never:
        """Raises TypeError, which copy and pickle pass on."""
        raise TypeError(
            f"a {type(self).__name__} cannot be copied or pickled: it must be created where it is "
            "used"
        )


def _blank(cls: type[Any], *arguments: Any) -> Any:
    """An object of a class, without its `__init__`: the one of a subclass may take other things."""
    blank = cls.__new__(cls, *arguments)
    if isinstance(blank, BaseException):
        blank.args = arguments  # an OSError with an `__init__` of its own leaves that to it
    return blank


def _arguments(thing: object) -> tuple[Any, ...]:
    return thing.args if isinstance(thing, BaseException) else ()


def _attributes(thing: object) -> Iterator[tuple[str, Any]]:
    """The attributes in slots and in the dictionary, and the cause of an exception."""
    for cls in type(thing).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(thing, name):
                yield name, getattr(thing, name)
    yield from getattr(thing, "__dict__", {}).items()
    if isinstance(thing, BaseException) and thing.__cause__ is not None:
        yield "__cause__", thing.__cause__


def _for_pickle(value: Any) -> Any:
    """The value itself, or an `UnpicklableError` in place of an exception that would be lost."""
    if not isinstance(value, BaseException) or isinstance(value, Copyable):
        return value
    import pickle  # the caller has loaded it

    try:
        twin = pickle.loads(pickle.dumps(value))  # noqa: S301 - made here
        if type(twin) is type(value) and str(twin) == str(value):
            return value
    except Exception:  # noqa: BLE001, S110 - a foreign exception may raise anything here
        pass
    cls = type(value)
    return UnpicklableError(f"{cls.__module__}.{cls.__qualname__}", _message_of(value))


def _message_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - as above
        return ""
