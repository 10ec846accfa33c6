"""The canonical request and response of all adapters: OpenAI Chat Completions as plain dicts.

The TypedDicts are for type checkers and cost nothing at run time. A request may contain more keys
than are listed here: an OpenAI-compatible provider receives them unchanged, the other adapters
reject fields that they do not know (docs/reference/translation.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NotRequired, Required, TypeAlias

from typing_extensions import TypedDict, Unpack

Part: TypeAlias = dict[str, Any]
"""A content part: `{"type": "text", "text": ...}`, `image_url`, `input_audio`, `file`."""

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class FunctionCall(TypedDict):
    """A function's name and its arguments, which are a JSON *string*."""

    name: str
    arguments: str


class ToolCall(TypedDict, total=False):
    """A tool call. `extra_content` is what its provider needs back in the next turn."""

    id: Required[str]
    type: Required[str]
    function: FunctionCall
    custom: dict[str, Any]
    extra_content: dict[str, Any]


class Message(TypedDict, total=False):
    """One message of a conversation, of any role.

    `reasoning_content` is the reasoning text of a model; `thinking_blocks` are the signed blocks
    that Anthropic needs back in the next turn.
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
    """The optional fields of a request besides `messages`; units as in OpenAI's API."""

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
    """A chat request. Without `model` the provider's own model is used."""

    messages: Required[Sequence[Message]]


class Usage(TypedDict, total=False):
    """Token counts. `prompt_tokens` include cached tokens, `completion_tokens` reasoning tokens."""

    prompt_tokens: Required[int]
    completion_tokens: Required[int]
    total_tokens: Required[int]
    prompt_tokens_details: dict[str, int] | None
    completion_tokens_details: dict[str, int] | None


class Answer(TypedDict, total=False):
    """The assistant's message in a response. `content` is None when there are only tool calls."""

    role: Required[Literal["assistant"]]
    content: Required[str | None]
    refusal: str | None
    tool_calls: list[ToolCall]
    reasoning_content: str
    thinking_blocks: list[dict[str, Any]]
    annotations: list[dict[str, Any]]
    extra_content: dict[str, Any]


class Choice(TypedDict):
    """One of the `n` answers of a response.

    `native_finish_reason` is what the service calls the reason of a content_filter.
    """

    index: int
    finish_reason: FinishReason
    native_finish_reason: NotRequired[str]
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
    """What a chunk adds to its choice. Tool calls are joined by their `index`.

    `other_content` names the type of content that only the provider's own format has.
    """

    role: Literal["assistant"]
    content: str | None
    refusal: str | None
    tool_calls: list[dict[str, Any]]
    reasoning_content: str
    thinking_blocks: list[dict[str, Any]]
    extra_content: dict[str, Any]
    other_content: str


class ChunkChoice(TypedDict):
    """The part of a chunk for one choice. `finish_reason` is None until the choice's last chunk."""

    index: int
    delta: Delta
    finish_reason: FinishReason | None
    native_finish_reason: NotRequired[str]
    logprobs: NotRequired[dict[str, Any] | None]


class ChatCompletionChunk(TypedDict):
    """One chunk of a streamed response.

    `choices` is empty only in the usage chunk, which is sent only for requests with
    `stream_options={"include_usage": True}`. Otherwise the last chunk with a finish reason has the
    usage.
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
    """Texts or token ids to embed. Without `model` the provider's own model is used."""

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
        prompt: a text, a list of content parts for one user message, or a list of messages.
        system: a system prompt, placed before the other messages.
        **options: any other field of the request. A field with the value None is left out.

    Returns:
        A new dict. The messages in `prompt` are not copied.
    """
    messages: list[Message] = []
    if system is not None:
        messages.append({"role": "system", "content": system})
    if isinstance(prompt, str) or not all("role" in piece for piece in prompt):
        messages.append({"role": "user", "content": prompt})  # type: ignore[typeddict-item] # the test above leaves str and parts, which mypy cannot see
    else:
        messages.extend(prompt)  # type: ignore[arg-type] # see above: these are messages
    set_options = {key: value for key, value in options.items() if value is not None}
    return {"messages": messages, **set_options}  # type: ignore[typeddict-item] # Options without its None
