"""How a broken stream goes on at another provider: by a prefill, by instruction, or by matching."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from multirouter.core import chat
from multirouter.core.selection import Member
from multirouter.core.stream_policy import Reader, StreamPolicy

PREFILL = "prefill"
"""The capability of a provider whose model goes on from a trailing assistant message."""


class Diverged(Exception):
    """A stream that was asked anew says something else than what was delivered."""


class Delivered:
    """What the consumer has of an answer, and how somebody else can go on from there.

    Attributes:
        chunks: how many chunks were delivered.
        spliced: whether the stream was broken and goes on: requests are rewritten from then on.
    """

    __slots__ = ("_parts", "_policy", "_request", "_tools", "chunks", "spliced")

    def __init__(self, policy: StreamPolicy, request: Any) -> None:
        self._policy = policy
        self._request = request
        self._parts: list[str] = []
        self._tools = False
        self.chunks = 0
        self.spliced = False

    @property
    def text(self) -> str:
        """The text that was delivered."""
        return "".join(self._parts)

    def note(self, chunk: Any, reader: Reader) -> None:
        """Notes a chunk that is being delivered."""
        self.chunks += 1
        if self._policy.on_interrupt != "continue":
            return
        self._parts.append(reader.text(chunk))
        if reader.has_tools is not None:
            self._tools = self._tools or reader.has_tools(chunk)

    def forget(self) -> None:
        """The answer begins anew."""
        self._parts.clear()
        self._tools = False

    @property
    def may_continue(self) -> bool:
        """Whether somebody else can go on: never in the middle of a tool call."""
        return self._policy.on_interrupt == "continue" and not self._tools

    def request_for(self, member: Member) -> tuple[Any, Matcher | None]:
        """What to send to `member`, and what to hold its answer against.

        Returns:
            The request, and None when what comes goes on directly, else a matcher.
        """
        text = self.text
        if not self.spliced or not text:
            return self._request, None
        if self._policy.resume is not None:
            return self._policy.resume(self._request, text), None
        if chat.is_request(self._request) and PREFILL in member.provider.capabilities:
            return chat.prefilled(self._request, text), None
        return self._request, Matcher(text)

    def instructed(self) -> Any | None:
        """The request that tells a model to go on, where it may be sent; None otherwise."""
        if self._policy.on_divergence != "instruct" or not chat.is_request(self._request):
            return None
        return chat.instructed(self._request, self.text)


class Matcher:
    """Holds an answer that was asked anew against the text that was delivered."""

    __slots__ = ("_left",)

    def __init__(self, text: str) -> None:
        self._left = text

    def rest_of(self, chunk: Any, reader: Reader) -> Iterable[Any]:
        """What of a chunk is new; nothing while it only repeats.

        Raises:
            Diverged: when it says something else.
        """
        if not self._left:
            return (chunk,)
        said = reader.text(chunk)
        if self._left.startswith(said):
            self._left = self._left[len(said) :]
            return ()
        if not said.startswith(self._left) or reader.cut is None:
            raise Diverged
        new, self._left = said[len(self._left) :], ""
        return (reader.cut(chunk, new),)
