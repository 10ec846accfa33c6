"""Settings of streams: time limits, content, end, and the reaction to an interruption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.core.chat.chunk_reader import ChunkReader, StreamHookError, reader_for
from multirouter.core.error_text import class_and_message

OnInterrupt = Literal["raise", "continue", "restart"]
INTERRUPTS: tuple[OnInterrupt, ...] = ("raise", "continue", "restart")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPolicy:
    """Time limits of a stream, how its end is recognised, and the reaction to an interruption.

    A hook (`content`, `text`, `complete`, `resume`) that raises ends the stream with a UsageError
    that names it; the failure counts against no provider.

    Attributes:
        first_token: longest time from an attempt's start to its first content, seconds;
            `math.inf` for no limit. Default: the `attempt_timeout`. It is an upper limit: the
            adaptive timeout (`LatencyPolicy`) may end the attempt earlier. Set it to minutes for
            reasoning models, which may think that long.
        idle: longest wait for the next chunk, seconds; `math.inf` for no limit. Time that the
            consumer takes between two chunks does not count.
        total: longest time from the first content to the end, seconds, including the consumer's
            own time; `math.inf` for no limit.
        min_rate: lowest rate in characters per second, including reasoning and tool calls, above
            0; None for no minimum. It does not apply to chunks of unknown type without `text=`.
        rate_window: seconds of waiting for the provider over which `min_rate` is measured.
        on_interrupt: what happens when a stream ends early after content was delivered. `raise`:
            raises StreamInterrupted. `continue`: another provider continues the answer; the
            delivered text is kept for that. `restart`: the consumer gets a `StreamRestarted`,
            and the answer starts again from the beginning.
        on_divergence: what happens when a new answer is matched against the delivered text and
            differs. `instruct`: the provider is instructed to continue from the delivered text.
            `raise`: raises StreamInterrupted.
        content: returns whether a chunk contains a part of the answer. Default: chat chunks by
            their deltas, strings and bytes when not empty, any other chunk always. Chat chunks
            are those of OpenAI, Anthropic and Gemini, as plain data or as SDK objects.
        text: returns the text of a chunk. Default: the text of chat chunks and strings, else "".
        complete: returns whether a chunk proves that the answer is complete. Default: the finish
            reasons of chat chunks; for other chunks, only the regular end of the stream. After
            the proof the stream is complete, whatever fails later.
        resume: builds the continuing request from (request, text so far). Default: for chat
            requests a prefill when the provider has the capability `prefill`; otherwise, or when
            the provider rejects the prefill, the request is sent again and matched.

    Raises:
        ConfigurationError: a setting is out of range or unknown.
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
            check.duration("StreamPolicy.first_token", self.first_token, allow_inf=True)
        check.duration("StreamPolicy.idle", self.idle, allow_inf=True)
        check.duration("StreamPolicy.total", self.total, allow_inf=True)
        if self.min_rate is not None:
            check.number("StreamPolicy.min_rate", self.min_rate, above=0.0)
        check.duration("StreamPolicy.rate_window", self.rate_window)
        for name in ("content", "text", "complete"):
            hooks.plain_function(f"StreamPolicy.{name}", getattr(self, name), "chunk")
        hooks.plain_function("StreamPolicy.resume", self.resume, "request", "text")
        check.one_of("StreamPolicy.on_interrupt", self.on_interrupt, INTERRUPTS)
        check.one_of("StreamPolicy.on_divergence", self.on_divergence, ("instruct", "raise"))

    def reader(self, chunk: Any, request: Any = None) -> ChunkReader:
        """The reader of a stream, chosen once by its first chunk.

        Args:
            chunk: the stream's first chunk.
            request: the request; `n` of a chat request says how many choices must end.
        """
        reader = reader_for(chunk, request)
        content, text, complete = self.content, self.text, self.complete
        if content is not None:
            reader = reader._replace(content=guarded_hook("StreamPolicy.content", content))
        if text is not None:
            text = _checked_text(guarded_hook("StreamPolicy.text", text))
            reader = reader._replace(text=text, size=_length_of(text), replace_text=None)
        if complete is not None:
            reader = reader._replace(
                proves_end=guarded_hook("StreamPolicy.complete", complete), may_end=None
            )
        return reader


def guarded_hook(what: str, hook: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a hook of a stream: its exceptions become a StreamHookError that names it.

    Args:
        what: the hook, for the error.
        hook: the user's function.
    """

    def guarded(*args: Any) -> Any:
        try:
            result = hook(*args)
            if result is True or result is False:  # as most hooks return, once a chunk
                return result
            return hooks.checked_result(what, result)
        except Exception as error:
            raise StreamHookError(f"{what} raised {class_and_message(error)}") from error

    return guarded


def _checked_text(text: Callable[[Any], Any]) -> Callable[[Any], str]:
    def read(chunk: Any) -> str:
        result = text(chunk)
        if not isinstance(result, str):
            raise StreamHookError(f"StreamPolicy.text must return a str, got {result!r:.50}")
        return result

    return read


def _length_of(text: Callable[[Any], str]) -> Callable[[Any], int]:
    return lambda chunk: len(text(chunk))
