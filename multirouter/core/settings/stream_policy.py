"""The knobs of streams: limits of time, what counts as content and as the end, and what then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from multirouter.core import validation as check
from multirouter.core.chat.chunk_reader import Misused, Reader, read_as
from multirouter.errors import ConfigurationError

OnInterrupt = Literal["raise", "continue", "restart"]
INTERRUPTS: tuple[OnInterrupt, ...] = ("raise", "continue", "restart")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPolicy:
    """How long a stream may take, how it must end, and what happens when it breaks.

    Attributes:
        first_token: seconds from an attempt's start to its first content. Left out, the
            `attempt_timeout`. Like it, it is a ceiling: what the provider's own past says
            (`LatencyPolicy`) may cut earlier. Reasoning models may think for minutes: set it there.
        idle: seconds that the next chunk may be waited for; `math.inf` for no limit. What a slow
            consumer takes between two chunks does not count.
        total: seconds from the first content to the end, the consumer's own time included;
            `math.inf` for no limit.
        min_rate: characters a second, thinking and tool calls included, at least; None for no
            floor. Chunks that nobody can read, without a `text=` of yours, have none.
        rate_window: seconds of waiting for the provider over which `min_rate` is measured.
        on_interrupt: what happens when a stream breaks after content was delivered. `raise`:
            StreamInterrupted. `continue`: another provider goes on where it broke; the text is
            kept for that. `restart`: the consumer gets a `StreamRestarted` and the answer begins anew.
        on_divergence: when a continuation has to be matched and says something else: `instruct`
            asks that provider to go on from the text so far, `raise` gives up.
        content: whether a chunk brings something of the answer. Left out: chat chunks by their
            deltas, strings and bytes when not empty, anything else always. Chat chunks are
            OpenAI's, Anthropic's and Gemini's, as plain data or as objects of the SDKs.
        text: the text of a chunk. Left out: that of chat chunks and strings, else "".
        complete: whether a chunk proves that the answer is whole. Left out: the finish reasons of
            chat chunks; for other chunks the stream's clean end must do. What goes wrong after
            the proof harms nobody: the stream ends there.
        resume: builds the request that goes on from (request, text so far). Left out: for chat
            requests a prefill where the provider has the capability `prefill`; else, or when it
            refuses that, the request is sent again and matched.

    A hook that raises ends the stream with a UsageError that names it; no provider is blamed.
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

    def reader(self, chunk: Any, request: Any = None) -> Reader:
        """How to read a stream, judged by its first chunk: one look for all the others.

        Args:
            chunk: the stream's first chunk.
            request: what it answers; `n` of a chat request says how many answers must end.
        """
        read = read_as(chunk, request)
        content, text, complete = self.content, self.text, self.complete
        if content is not None:
            read = read._replace(content=guarded_hook("content", content))
        if text is not None:
            text = _textual(guarded_hook("text", text))
            read = read._replace(text=text, size=_length_by(text), cut=None)
        if complete is not None:
            read = read._replace(proves_end=guarded_hook("complete", complete))
        return read


def guarded_hook(name: str, hook: Callable[..., Any]) -> Callable[..., Any]:
    """A hook of a `StreamPolicy` whose exceptions say which hook it was.

    Args:
        name: the policy's attribute.
        hook: the user's function.
    """

    def guarded(*given: Any) -> Any:
        try:
            return hook(*given)
        except Exception as error:
            raise Misused(f"StreamPolicy.{name} raised {type(error).__name__}: {error}") from error

    return guarded


def _textual(text: Callable[[Any], Any]) -> Callable[[Any], str]:
    def read(chunk: Any) -> str:
        said = text(chunk)
        if not isinstance(said, str):
            raise Misused(f"StreamPolicy.text must return a str, and returned {said!r:.50}")
        return said

    return read


def _length_by(text: Callable[[Any], str]) -> Callable[[Any], int]:
    return lambda chunk: len(text(chunk))
