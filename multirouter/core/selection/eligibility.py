"""Eligibility of providers for a request: capabilities, context window and longest output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from multirouter.core import function_checks as hooks
from multirouter.core.chat import completions as chat
from multirouter.core.cost.usage import estimated_tokens
from multirouter.core.error_text import class_and_message
from multirouter.errors import UsageError

if TYPE_CHECKING:
    from multirouter.core.selection.candidate import Candidate
    from multirouter.core.selection.lacks import LackCheck
    from multirouter.core.settings.provider import Provider

NONE_EXCLUDED: frozenset[str] = frozenset()

MAX_REQUEST_CLASSES = 256
"""Classes of requests whose ineligible providers are cached. Capabilities and windows are few, so
classes are, too."""

Requires = Callable[[Any], Iterable[str]]
"""Returns the capabilities that a request needs (`["vision", "tools"]`)."""

Sizes = Callable[[Any], "int | tuple[int, int]"]
"""Returns a request's tokens: the input alone, or the input and the longest output."""


class Requirements(NamedTuple):
    """What one request requires of a provider.

    Attributes:
        capabilities: the capabilities it needs.
        input: tokens of the input; 0 when unknown.
        output: tokens of the longest output; 0 when unknown.
    """

    capabilities: frozenset[str] = NONE_EXCLUDED
    input: int = 0
    output: int = 0

    def unmet_by(self, provider: Provider[Any, Any, Any]) -> str:
        """Why the provider is ineligible, in words; an empty string when it is eligible."""
        missing = self.capabilities.difference(provider.capabilities)
        if missing:
            return f"lacks {', '.join(sorted(missing))}"
        total, window = self.input + self.output, provider.context_window
        if window is not None and total > window:
            return f"context_window {window} is too small for {total} tokens"
        longest = provider.max_output
        if longest is not None and self.output > longest:
            return f"max_output {longest} is too small for {self.output} tokens"
        return ""


class Eligibility:
    """Decides which providers of a route are eligible for a request.

    Estimated sizes never exclude all providers: when they would, sizes are ignored, and the
    providers themselves may reject the request.

    Args:
        members: the route's providers.
        requires: returns the needed capabilities; None for none.
        sizes: returns the tokens; None for an estimate.
        lacks: finds the providers that cannot express a request; None when none needs it.
    """

    __slots__ = ("_ineligible", "_lacks", "_members", "_requires", "_sizes", "_thresholds")

    def __init__(
        self,
        members: Sequence[Candidate],
        requires: Requires | None,
        sizes: Sizes | None,
        lacks: LackCheck | None = None,
    ) -> None:
        self._members = members
        self._lacks = lacks
        self._requires = requires
        self._sizes = sizes
        self._ineligible: dict[Requirements, frozenset[str]] = {}
        windows = [member.provider.context_window for member in members]
        longest = [member.provider.max_output for member in members]
        # Sizes matter only by which of these they exceed, so there are few classes of requests.
        self._thresholds = tuple(
            sorted({size for size in (*windows, *longest) if size is not None})
        )

    @property
    def hooks(self) -> tuple[Requires | None, Sizes | None]:
        """The functions that return the needed capabilities and the tokens."""
        return self._requires, self._sizes

    def requirements_of(self, request: Any) -> Requirements:
        """Returns what a request requires.

        Raises:
            UsageError: a hook of the user's raised, or returned an invalid value.
        """
        capabilities = NONE_EXCLUDED
        if self._requires is not None:
            capabilities = _capabilities(call_hook("requires", self._requires, request))
        if self._sizes is None:
            sizes = estimated_sizes(request) if self._thresholds else (0, 0)
        else:
            sizes = _sizes(call_hook("size", self._sizes, request))
        return Requirements(capabilities, *sizes)

    def ineligible(self, request: Any) -> frozenset[str]:
        """Returns the keys of the candidates that are ineligible for a request.

        Raises:
            UsageError: a hook of the user's raised, or returned an invalid value.
        """
        lacking = None if self._lacks is None else self._lacks.reasons(request)
        keys = self._unmet(request)
        return keys.union(lacking) if lacking else keys

    def _unmet(self, request: Any) -> frozenset[str]:
        needs = self.requirements_of(request)
        total = self._exceeded_threshold(needs.input + needs.output)
        output = self._exceeded_threshold(needs.output)
        request_class = Requirements(needs.capabilities, total, output)
        keys = self._ineligible.get(request_class)
        if keys is None:
            if len(self._ineligible) >= MAX_REQUEST_CLASSES:
                self._ineligible.clear()
            keys = self._ineligible[request_class] = self._find_ineligible(needs)
        return keys

    def reasons(self, request: Any) -> Mapping[str, str]:
        """Returns why each ineligible provider is, in words, by its key.

        Raises:
            UsageError: a hook of the user's raised, or returned an invalid value.
        """
        needs, keys = self.requirements_of(request), self._unmet(request)
        unmet = {m.key: needs.unmet_by(m.provider) for m in self._members if m.key in keys}
        return unmet if self._lacks is None else {**self._lacks.reasons(request), **unmet}

    def _find_ineligible(self, needs: Requirements) -> frozenset[str]:
        keys = frozenset(m.key for m in self._members if needs.unmet_by(m.provider))
        if self._sizes is None and len(keys) == len(self._members):
            without_sizes = Requirements(needs.capabilities)
            return frozenset(m.key for m in self._members if without_sizes.unmet_by(m.provider))
        return keys

    def _exceeded_threshold(self, tokens: int) -> int:
        """The largest of the route's sizes that `tokens` exceed, plus one; 0 for none."""
        return next((size + 1 for size in reversed(self._thresholds) if tokens > size), 0)


def call_hook(what: str, hook: Callable[[Any], Any], request: Any) -> Any:
    """Returns what a hook of the user's returns for a request.

    Args:
        what: the setting's name, for the error.
        hook: the user's function.
        request: its argument.

    Raises:
        UsageError: the hook raised.
    """
    try:
        return hooks.checked_result(f"{what}=", hook(request))
    except Exception as error:
        raise UsageError(f"{what}= raised {class_and_message(error)}") from error


def _capabilities(answer: Any) -> frozenset[str]:
    names = [answer] if isinstance(answer, str) else answer or ()
    if not (isinstance(names, Iterable) and all(isinstance(name, str) for name in names)):
        raise UsageError(f"requires= must return names of capabilities, got {answer!r}")
    return frozenset(names)


def _sizes(answer: Any) -> tuple[int, int]:
    sizes = answer if isinstance(answer, tuple) else (answer, 0)
    if not (len(sizes) == 2 and all(isinstance(size, int) and size >= 0 for size in sizes)):
        raise UsageError(
            f"size= must return tokens as an int >= 0, or a tuple of two, got {answer!r}"
        )
    return sizes


OUTPUT_FIELDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")


def estimated_sizes(request: Any) -> tuple[int, int]:
    """Returns a request's estimated input tokens, and the output tokens that it allows.

    Four letters count as one token. Of plain data all strings count, of an object nothing does.
    """
    output = 0
    if isinstance(request, Mapping):
        limits = (request.get(field) for field in OUTPUT_FIELDS)
        output = next((limit for limit in limits if isinstance(limit, int)), 0)
    return estimated_tokens(request), output


def chat_requires(request: Any) -> frozenset[str]:
    """Returns the capabilities that a chat request needs, for `requires=`.

    `vision`, `audio`, `files`, `tools`, `json_schema` and `prefill`; nothing for any other request.
    """
    if not chat.is_request(request):
        return NONE_EXCLUDED
    needs = {"tools"} if request.get("tools") else set()
    if _field(request.get("response_format"), "type") == "json_schema":
        needs.add("json_schema")
    for message in request["messages"]:
        content = _field(message, "content")
        if isinstance(content, list):
            types = [_field(part, "type") for part in content]
            needs.update(need for type_, need in _PARTS.items() if type_ in types)
    if request["messages"] and _field(request["messages"][-1], "role") == "assistant":
        needs.add("prefill")
    return frozenset(needs)


def _field(thing: Any, name: str) -> str | list[Any] | None:
    """The string or list under a name; None for anything else, since requests are not checked."""
    value = thing.get(name) if isinstance(thing, Mapping) else None
    return value if isinstance(value, str | list) else None


_PARTS = {"image_url": "vision", "image": "vision", "input_audio": "audio", "file": "files"}
