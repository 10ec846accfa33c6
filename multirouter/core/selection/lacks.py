"""Which providers of a route are passed over, because they cannot express a request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from multirouter.core.request_transform import Lacks, can_drop, lacks_of
from multirouter.core.settings.policies import UnsupportedPolicy

if TYPE_CHECKING:
    from multirouter.core.selection.attempt_rules import AttemptRules
    from multirouter.core.selection.candidate import Candidate


class LackCheck:
    """Finds the candidates of a route that cannot express a request.

    Args:
        members: the route's candidates.
    """

    __slots__ = ("_groups", "_members")

    def __init__(self, members: Sequence[Candidate]) -> None:
        self._members = members
        groups: dict[Lacks, list[Candidate]] = {}
        for member in members:
            if member.lacks is not None:
                groups.setdefault(member.lacks, []).append(member)
        self._groups = groups

    def reasons(self, request: Any) -> dict[str, str]:
        """Returns why each candidate that is not attempted is not, in words, by its key.

        Raises:
            UsageError: see `lacks_of`.
        """
        reasons: dict[str, str] = {}
        strict: set[AttemptRules] = set()
        for lacks, members in self._groups.items():
            found = lacks_of(lacks, request)
            if found:
                for member in members:
                    text = _text(found, request, member.rules.unsupported)
                    if text:
                        reasons[member.key] = text
                        if member.rules.unsupported == "reject":
                            strict.add(member.rules)
        for member in self._members if strict else ():
            if member.rules in strict and member.key not in reasons:
                reasons[member.key] = "not attempted: another provider of the route cannot"
        return reasons


def lack_check_of(members: Sequence[Candidate]) -> LackCheck | None:
    """The check of a route; None when it would find all of its providers alike, or none.

    Then an attempt finds out, at no cost to the requests that every provider can express.
    """
    kinds = {member.lacks for member in members}
    strict = any(m.rules.unsupported == "reject" for m in members)
    needed = len(kinds) > 1 or (strict and kinds != {None})
    return LackCheck(members) if needed else None


def _text(found: Mapping[str, str], request: Any, policy: UnsupportedPolicy) -> str:
    left: Iterable[tuple[str, str]] = found.items()
    if policy == "drop":
        left = [(field, why) for field, why in left if not can_drop(field, request)]
    listed = ", ".join(f"{field}: {why}" for field, why in left)
    return f"cannot express {listed}" if listed else ""
