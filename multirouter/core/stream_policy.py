"""The knobs of streams: limits of time, what counts as content and as the end, and what then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from multirouter.core import chat
from multirouter.core import validation as check
from multirouter.errors import ConfigurationError

OnInterrupt = Literal["raise", "continue", "restart"]
INTERRUPTS: tuple[OnInterrupt, ...] = ("raise", "continue", "restart")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPolicy:
    """How long a stream may take, how it must end, and what happens when it breaks.

    Attributes:
        first_token: seconds from an attempt's start to its first content. Left out, the
            `attempt_timeout`. Like it, it is a ceiling: what the provider's own past says
            (`PacePolicy`) may cut earlier. Reasoning models may think for minutes: set it there.
        idle: seconds between two chunks; `math.inf` for no limit.
        total: seconds from the first content to the end; `math.inf` for no limit.
        min_rate: characters of text a second, over each `rate_window`, at least; None for no
            floor.
        rate_window: seconds over which `min_rate` is measured.
        on_interrupt: what happens when a stream breaks after content was delivered. `raise`:
            StreamInterrupted. `continue`: another provider goes on where it broke. `restart`:
            the consumer gets a `Restarted` and the answer begins anew.
        on_divergence: when a continuation has to be matched and says something else: `instruct`
            asks that provider to go on from the text so far, `raise` gives up.
        content: whether a chunk brings something of the answer. Left out: chat chunks by their
            deltas, strings and bytes when not empty, anything else always.
        text: the text of a chunk. Left out: that of chat chunks and strings, else "".
        complete: whether a chunk proves that the answer is whole. Left out: the finish reason of
            chat chunks; for other chunks the stream's clean end must do.
        resume: builds the request that goes on from (request, text so far). Left out: for chat
            requests a prefill where the provider has the capability `prefill`; else the request
            is sent again and matched.
    """

    first_token: float | None = None
    idle: float = 30.0
    total: float = float("inf")
    min_rate: float | None = None
    rate_window: float = 10.0
    on_interrupt: OnInterrupt = "raise"
    on_divergence: Literal["instruct", "raise"] = "instruct"
    content: Callable[[Any], bool] | None = None
    text: Callable[[Any], str] | None = None
    complete: Callable[[Any], bool] | None = None
    resume: Callable[[Any, str], Any] | None = None

    def __post_init__(self) -> None:
        if self.first_token is not None:
            check.span("StreamPolicy.first_token", self.first_token, endless=True)
        check.span("StreamPolicy.idle", self.idle, endless=True)
        check.span("StreamPolicy.total", self.total, endless=True)
        if self.min_rate is not None:
            check.number("StreamPolicy.min_rate", self.min_rate, above=0.0)
        check.span("StreamPolicy.rate_window", self.rate_window)
        if self.on_interrupt not in INTERRUPTS:
            near = check.near(str(self.on_interrupt), INTERRUPTS)
            raise ConfigurationError("StreamPolicy.on_interrupt", f"unknown {near}")
        if self.on_divergence not in {"instruct", "raise"}:
            near = check.near(str(self.on_divergence), ("instruct", "raise"))
            raise ConfigurationError("StreamPolicy.on_divergence", f"unknown {near}")

    def reader(self, chunk: Any) -> Reader:
        """How to read a stream, judged by its first chunk: one look for all the others."""
        chatty = chat.is_chunk(chunk)
        words = isinstance(chunk, str)
        return Reader(
            content=self.content or (chat.has_content if chatty else _always),
            text=self.text or (chat.text_of if chatty else _itself if words else _no_text),
            proves_end=self.complete or (chat.is_finished if chatty else None),
            has_tools=chat.has_tool_calls if chatty else None,
            cut=chat.with_text if chatty else _cut_words if words else None,
            chatty=chatty,
        )


@dataclass(frozen=True, slots=True)
class Reader:
    """What to make of the chunks of one stream.

    Attributes:
        content: whether a chunk brings something of the answer.
        text: a chunk's text.
        proves_end: whether a chunk proves the answer whole; None when only a clean end can.
        has_tools: whether a chunk brings a piece of a tool call; None when none can.
        cut: makes the same chunk with another text; None when that is impossible.
        chatty: whether its chunks are canonical chat chunks.
    """

    content: Callable[[Any], bool]
    text: Callable[[Any], str]
    proves_end: Callable[[Any], bool] | None
    has_tools: Callable[[Any], bool] | None
    cut: Callable[[Any, str], Any] | None
    chatty: bool


def _always(chunk: Any) -> bool:
    """Strings and bytes bring content when they are not empty, anything else always."""
    return bool(chunk) if isinstance(chunk, str | bytes) else True


def _itself(chunk: str) -> str:
    return chunk


def _no_text(_: Any) -> str:
    return ""


def _cut_words(_: str, text: str) -> str:
    return text
