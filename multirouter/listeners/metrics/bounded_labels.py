"""Label values of names that requests bring: a bounded number of models and of keys."""

from __future__ import annotations

from collections.abc import Callable

from multirouter.model import REQUEST_KINDS, AttemptRecord, FailureKind

MAX_MODELS = 50
"""Models of one provider with series of their own: names come from requests and answers, and each
has some thirty series."""

MAX_KEYS = 200
"""Client keys of one router with series of their own; each has some ten series."""

_NO_NEW_MODEL = REQUEST_KINDS | {FailureKind.NOT_FOUND}
"""Kinds of failure that show no new model: the name may be one that a client made up."""

OTHER = "other"
"""Label value of all further names."""


class BoundedLabels:
    """Values of one label, by group: the models of each provider, the keys of the router.

    Args:
        limit: how many names of a group get a value of their own.
        on_new: called for each name that gets a value of its own, with the group and all names of
            it that have one, the new one last.
    """

    def __init__(self, limit: int, on_new: Callable[[str, tuple[str, ...]], None]) -> None:
        self._limit = limit
        self._on_new = on_new
        self._values: dict[str, dict[str, None]] = {}

    def of(self, group: str, name: str, *, may_be_new: bool = True) -> str:
        """Returns the label value of a name.

        Args:
            group: the group's name.
            name: the name.
            may_be_new: False for a name that a client may have made up: it gets no value of its
                own, unless it has one.
        """
        values = self._values.setdefault(group, {})
        if name in values:
            return name
        if len(values) >= self._limit or not may_be_new:
            return OTHER
        values[name] = None
        self._on_new(group, tuple(values))
        return name


class ModelLabels(BoundedLabels):
    """Values of the label `model`, by provider.

    Args:
        on_new: as of `BoundedLabels`.
    """

    def __init__(self, on_new: Callable[[str, tuple[str, ...]], None]) -> None:
        super().__init__(MAX_MODELS, on_new)

    def of_attempt(self, record: AttemptRecord, model: str) -> str:
        """Returns the label value of a model that an attempt asked for, or that answered it."""
        may_be_new = record.verdict.kind not in _NO_NEW_MODEL
        return self.of(record.provider, model, may_be_new=may_be_new)
