"""Names and values of OpenTelemetry's semantic conventions for generative AI.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/ (registry of version 1.38); the tests
compare them with the package opentelemetry-semantic-conventions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_CREATION_TOKENS = "gen_ai.usage.cache_creation.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - the name of an attribute
ERROR_TYPE = "error.type"
HTTP_STATUS = "http.response.status_code"

DURATION_METRIC = "gen_ai.client.operation.duration"
FIRST_CHUNK_METRIC = "gen_ai.client.operation.time_to_first_chunk"
TOKEN_METRIC = "gen_ai.client.token.usage"  # noqa: S105 - the name of a metric

DURATION_BUCKETS = (
    0.01,
    0.02,
    0.04,
    0.08,
    0.16,
    0.32,
    0.64,
    1.28,
    2.56,
    5.12,
    10.24,
    20.48,
    40.96,
    81.92,
)
"""Seconds; as the conventions advise."""

TOKEN_BUCKETS = tuple(4**power for power in range(14))
"""Tokens; as the conventions advise."""

_PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "azure": "azure.ai.openai",
        "bedrock": "aws.bedrock",
        "gemini": "gcp.gemini",
        "mistral": "mistral_ai",
        "vertex": "gcp.vertex_ai",
        "xai": "x_ai",
    }
)
"""The conventions' names of vendors whose failure domains have other names; the rest are alike."""

_OPERATIONS: Mapping[str, str] = MappingProxyType({"": "chat", "completions": "text_completion"})
"""The conventions' names of operations that have other names; the rest are alike."""

_NUMBERS: Mapping[str, str] = MappingProxyType(
    {
        "frequency_penalty": "gen_ai.request.frequency_penalty",
        "presence_penalty": "gen_ai.request.presence_penalty",
        "temperature": "gen_ai.request.temperature",
        "top_p": "gen_ai.request.top_p",
    }
)
_INTEGERS: Mapping[str, str] = MappingProxyType(
    {
        "max_completion_tokens": "gen_ai.request.max_tokens",
        "max_tokens": "gen_ai.request.max_tokens",
        "seed": "gen_ai.request.seed",
    }
)


def provider_name(name: str, domains: tuple[str, ...]) -> str:
    """The value of `gen_ai.provider.name`: the vendor where it is known, else the provider's name.

    Args:
        name: the provider's name.
        domains: its failure domains; the vendor is the first.
    """
    vendor = domains[0] if domains else name
    return _PROVIDERS.get(vendor, vendor)


def operation_name(operation: str) -> str:
    """The value of `gen_ai.operation.name`.

    Args:
        operation: the operation's name; "" for the providers' own functions.
    """
    return _OPERATIONS.get(operation, operation)


def request_attributes(request: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of a request's parameters; none for a request that is no mapping."""
    if not isinstance(request, Mapping):
        return
    for field, attribute in _NUMBERS.items():
        number = request.get(field)
        if isinstance(number, int | float) and not isinstance(number, bool):
            yield attribute, float(number)
    for field, attribute in _INTEGERS.items():
        integer = request.get(field)
        if isinstance(integer, int) and not isinstance(integer, bool):
            yield attribute, integer
    count = request.get("n")
    if isinstance(count, int) and count > 1:
        yield "gen_ai.request.choice.count", count
    stop = request.get("stop")
    stops = [stop] if isinstance(stop, str) else stop
    if isinstance(stops, list | tuple) and stops and all(isinstance(s, str) for s in stops):
        yield "gen_ai.request.stop_sequences", tuple(stops)


def response_attributes(answer: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of a whole answer in OpenAI's format; none for any other."""
    if not isinstance(answer, Mapping):
        return
    if isinstance(answer.get("id"), str):
        yield RESPONSE_ID, answer["id"]
    choices = answer.get("choices")
    if isinstance(choices, list):
        reasons = [c.get("finish_reason") for c in choices if isinstance(c, Mapping)]
        if reasons and all(isinstance(reason, str) for reason in reasons):
            yield FINISH_REASONS, tuple(reasons)
