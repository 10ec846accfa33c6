"""The request and the response all adapters share: OpenAI Chat Completions, as plain dicts.

The TypedDicts are for type checkers and cost nothing at run time. A request may hold more keys
than stand here: an OpenAI-compatible provider gets them as they are, the other adapters refuse
what they do not know (docs/translation.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NotRequired, Required, TypeAlias

from typing_extensions import TypedDict, Unpack

Part: TypeAlias = dict[str, Any]
"""A piece of content: `{"type": "text", "text": ...}`, `image_url`, `input_audio`, `file`."""

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class FunctionCall(TypedDict):
    """A function's name and its arguments, which are a JSON *string*."""

    name: str
    arguments: str


class ToolCall(TypedDict, total=False):
    """A call the model wants made. `extra_content` keeps what its provider wants back."""

    id: Required[str]
    type: Required[str]
    function: FunctionCall
    custom: dict[str, Any]
    extra_content: dict[str, Any]


class Message(TypedDict, total=False):
    """One turn of a conversation, of any role.

    `reasoning_content` and `thinking_blocks` are what a thinking model thought: the text, and
    the signed blocks that Anthropic wants back.
    """

    role: Required[Literal["system", "developer", "user", "assistant", "tool", "function"]]
    content: str | Sequence[Part] | None
    name: str
    tool_calls: Sequence[ToolCall]
    tool_call_id: str
    refusal: str | None
    reasoning_content: str
    thinking_blocks: Sequence[dict[str, Any]]
    extra_content: dict[str, Any]


class Options(TypedDict, total=False):
    """What a request may ask besides its messages; the units are OpenAI's."""

    model: str
    temperature: float | None
    top_p: float | None
    n: int | None
    stop: str | Sequence[str] | None
    max_completion_tokens: int | None
    max_tokens: int | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: dict[str, int] | None
    seed: int | None
    logprobs: bool | None
    top_logprobs: int | None
    reasoning_effort: Effort | None
    verbosity: Literal["low", "medium", "high"] | None
    tools: Sequence[dict[str, Any]] | None
    tool_choice: str | dict[str, Any] | None
    parallel_tool_calls: bool | None
    response_format: dict[str, Any] | None
    stream_options: dict[str, Any] | None
    user: str | None
    safety_identifier: str | None
    prompt_cache_key: str | None
    service_tier: str | None
    store: bool | None
    metadata: dict[str, str] | None
    modalities: Sequence[str] | None
    prediction: dict[str, Any] | None


class ChatRequest(Options, total=False):
    """A request. `model` may be left out: the provider's own is used."""

    messages: Required[Sequence[Message]]


class Usage(TypedDict, total=False):
    """Tokens. `prompt_tokens` include cached ones, `completion_tokens` the reasoning."""

    prompt_tokens: Required[int]
    completion_tokens: Required[int]
    total_tokens: Required[int]
    prompt_tokens_details: dict[str, int] | None
    completion_tokens_details: dict[str, int] | None


class Answer(TypedDict, total=False):
    """The assistant's message in a response; `content` is None beside tool calls."""

    role: Required[Literal["assistant"]]
    content: Required[str | None]
    refusal: str | None
    tool_calls: list[ToolCall]
    reasoning_content: str
    thinking_blocks: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    extra_content: dict[str, Any]


class Choice(TypedDict):
    """One of `n` answers."""

    index: int
    finish_reason: FinishReason
    message: Answer
    logprobs: NotRequired[dict[str, Any] | None]


class ChatCompletion(TypedDict):
    """A whole response; `choices` is never empty."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[Choice]
    usage: NotRequired[Usage | None]
    system_fingerprint: NotRequired[str | None]
    service_tier: NotRequired[str | None]


class Delta(TypedDict, total=False):
    """What a chunk adds to its choice; tool calls join by their `index`."""

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    tool_calls: list[dict[str, Any]]
    reasoning_content: str
    thinking_blocks: list[dict[str, Any]]
    extra_content: dict[str, Any]


class ChunkChoice(TypedDict):
    """One choice's share of a chunk; `finish_reason` is None until its last."""

    index: int
    delta: Delta
    finish_reason: FinishReason | None
    logprobs: NotRequired[dict[str, Any] | None]


class ChatCompletionChunk(TypedDict):
    """A piece of a streamed response.

    `choices` is empty in the usage chunk alone, which comes only when the request asked for it
    by `stream_options={"include_usage": True}`; else the last chunk with a finish reason
    carries the usage.
    """

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: NotRequired[Usage | None]
    system_fingerprint: NotRequired[str | None]
    service_tier: NotRequired[str | None]


class EmbeddingRequest(TypedDict, total=False):
    """Texts (or token ids) to embed; the provider's own model is used when none is named."""

    input: Required[str | Sequence[str] | Sequence[int] | Sequence[Sequence[int]]]
    model: str
    dimensions: int | None
    encoding_format: Literal["float", "base64"] | None
    user: str | None


class Embedding(TypedDict):
    """One vector: floats, or base64 of little-endian float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingResponse(TypedDict):
    """The vectors, in the order of the inputs."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: dict[str, int]


def chat(
    prompt: str | Sequence[Part] | Sequence[Message],
    *,
    system: str | None = None,
    **options: Unpack[Options],
) -> ChatRequest:
    """Builds a request: `chat("Hello", system="Be brief.", temperature=0.2)`.

    Args:
        prompt: a text, a list of content parts for one user message, or whole messages.
        system: a system prompt to put in front.
        **options: any other field of the request; one given as None is left out.

    Returns:
        A new dict; `prompt`'s messages are not copied.
    """
    messages: list[Message] = []
    if system is not None:
        messages.append({"role": "system", "content": system})
    if isinstance(prompt, str) or not all("role" in piece for piece in prompt):
        messages.append({"role": "user", "content": prompt})  # type: ignore[typeddict-item] # the test above leaves str and parts, which mypy cannot see
    else:
        messages.extend(prompt)  # type: ignore[arg-type] # see above: these are messages
    given = {key: value for key, value in options.items() if value is not None}
    return {"messages": messages, **given}  # type: ignore[typeddict-item] # Options without its None
