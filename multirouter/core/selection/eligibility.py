"""Who can serve a request at all: capabilities, context window and longest answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from multirouter.core.chat import completions as chat
from multirouter.core.cost.usage import estimated_tokens
from multirouter.errors import UsageError

if TYPE_CHECKING:
    from multirouter.core.selection.candidate import Candidate
    from multirouter.core.settings.provider import Provider

NOBODY: frozenset[str] = frozenset()

MOST_KINDS = 256
"""Kinds of requests whose fit is remembered; capabilities and windows are few, so are they."""

Requires = Callable[[Any], Iterable[str]]
"""Reads a request and says which capabilities it needs (`["vision", "tools"]`)."""

Sizes = Callable[[Any], "int | tuple[int, int]"]
"""Reads a request and says its tokens: those to be read, or those and the most to be written."""


class Requirements(NamedTuple):
    """What one request needs.

    Attributes:
        capabilities: what the provider must be capable of.
        input: tokens to be read; 0 when unknown.
        output: the most tokens to be written; 0 when unknown.
    """

    capabilities: frozenset[str] = NOBODY
    input: int = 0
    output: int = 0

    def lacks(self, provider: Provider[Any, Any, Any]) -> str:
        """Why the provider cannot serve, in words; an empty string when it can."""
        missing = self.capabilities.difference(provider.capabilities)
        if missing:
            return f"lacks {', '.join(sorted(missing))}"
        whole, window = self.input + self.output, provider.context_window
        if window is not None and whole > window:
            return f"context_window {window} is too small for {whole} tokens"
        longest = provider.max_output
        if longest is not None and self.output > longest:
            return f"max_output {longest} is too small for {self.output} tokens"
        return ""


class Eligibility:
    """Reads what the requests of a route need, and knows who lacks it.

    An estimate never bars the last one: when only sizes that were estimated leave nobody, sizes
    do not count, and the provider itself may refuse.

    Args:
        members: the route's providers.
        requires: reads needed capabilities; None for none.
        sizes: reads tokens; None for an estimate.
    """

    __slots__ = ("_known", "_members", "_requires", "_sizes", "_steps")

    def __init__(
        self, members: Sequence[Candidate], requires: Requires | None, sizes: Sizes | None
    ) -> None:
        self._members = members
        self._requires = requires
        self._sizes = sizes
        self._known: dict[Requirements, frozenset[str]] = {}
        windows = [member.provider.context_window for member in members]
        longest = [member.provider.max_output for member in members]
        # Sizes matter only by which of these they exceed, so few kinds of requests are told apart.
        self._steps = tuple(sorted({step for step in (*windows, *longest) if step is not None}))

    def needs_of(self, request: Any) -> Requirements:
        """What a request needs.

        Raises:
            UsageError: when a hook of the user's says what cannot be.
        """
        capabilities = NOBODY
        if self._requires is not None:
            capabilities = _names(told_by("requires", self._requires, request))
        if self._sizes is None:
            read, write = estimated_sizes(request) if self._steps else (0, 0)
        else:
            read, write = _both(told_by("size", self._sizes, request))
        return Requirements(capabilities, read, write)

    def unfit(self, request: Any) -> frozenset[str]:
        """The names of those who cannot serve a request."""
        needs = self.needs_of(request)
        whole, longest = self._step(needs.input + needs.output), self._step(needs.output)
        kind = Requirements(needs.capabilities, whole, longest)
        known = self._known.get(kind)
        if known is None:
            if len(self._known) >= MOST_KINDS:
                self._known.clear()
            known = self._known[kind] = self._work_out(needs)
        return known

    def why(self, request: Any) -> Mapping[str, str]:
        """Why each of those who cannot serve a request cannot."""
        needs, unfit = self.needs_of(request), self.unfit(request)
        return {m.name: needs.lacks(m.provider) for m in self._members if m.name in unfit}

    def _work_out(self, needs: Requirements) -> frozenset[str]:
        unfit = frozenset(m.name for m in self._members if needs.lacks(m.provider))
        if self._sizes is None and len(unfit) == len(self._members):
            able = Requirements(needs.capabilities)
            return frozenset(m.name for m in self._members if able.lacks(m.provider))
        return unfit

    def _step(self, tokens: int) -> int:
        """The largest size of the route's that `tokens` exceed, and one more; 0 for none."""
        return next((step + 1 for step in reversed(self._steps) if tokens > step), 0)


def told_by(what: str, hook: Callable[[Any], Any], request: Any) -> Any:
    """What a hook of the user's says of a request.

    Raises:
        UsageError: it raised.
    """
    try:
        return hook(request)
    except Exception as error:
        raise UsageError(f"{what}= raised {type(error).__name__}: {error}") from error


def _names(told: Any) -> frozenset[str]:
    found = [told] if isinstance(told, str) else told or ()
    if not (isinstance(found, Iterable) and all(isinstance(name, str) for name in found)):
        raise UsageError(f"requires= must return names of capabilities, not {told!r}")
    return frozenset(found)


def _both(told: Any) -> tuple[int, int]:
    both = told if isinstance(told, tuple) else (told, 0)
    if not (len(both) == 2 and all(isinstance(size, int) and size >= 0 for size in both)):
        raise UsageError(f"size= must return tokens as an int, or two of them, not {told!r}")
    return both


OUTPUT_FIELDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def estimated_sizes(request: Any) -> tuple[int, int]:
    """A request's tokens by its letters, and what it allows the answer.

    Four letters count as one token. Of plain data all strings count; of an object nothing does.
    """
    asked = 0
    if isinstance(request, Mapping):
        limits = (request.get(field) for field in OUTPUT_FIELDS)
        asked = next((limit for limit in limits if isinstance(limit, int)), 0)
    return estimated_tokens(request), asked


def chat_requires(request: Any) -> frozenset[str]:
    """What a chat request needs: `vision`, `audio`, `tools`, `json_schema`, `prefill`.

    Anything else needs nothing. Made for `requires=`.
    """
    if not chat.is_request(request):
        return NOBODY
    needs = {"tools"} if request.get("tools") else set()
    if _field(request.get("response_format"), "type") == "json_schema":
        needs.add("json_schema")
    for message in request["messages"]:
        content = _field(message, "content")
        if isinstance(content, list):
            kinds = [_field(part, "type") for part in content]
            needs.update(need for kind, need in _PARTS.items() if kind in kinds)
    if request["messages"] and _field(request["messages"][-1], "role") == "assistant":
        needs.add("prefill")
    return frozenset(needs)


def _field(thing: Any, name: str) -> str | list[Any] | None:
    """Text or a list under that name; None for all else, since requests are as users write them."""
    value = thing.get(name) if isinstance(thing, Mapping) else None
    return value if isinstance(value, str | list) else None


_PARTS = {"image_url": "vision", "image": "vision", "input_audio": "audio", "file": "files"}
