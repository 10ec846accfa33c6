"""How each field of a chat request is treated for OpenAI's Responses API."""

from __future__ import annotations

from types import MappingProxyType

from multirouter.providers.field_support import Fields, dropped, rejected, translated

_SAME = "the same"

FIELDS: Fields = MappingProxyType(
    {
        "audio": rejected("audio output is not supported"),
        "frequency_penalty": dropped("penalties are not supported"),
        "function_call": rejected("is deprecated; use tool_choice"),
        "functions": rejected("is deprecated; use tools"),
        "logit_bias": rejected("token bias is not supported", {}),
        "logprobs": translated("`include` of `message.output_text.logprobs`"),
        "max_completion_tokens": translated("`max_output_tokens`, at least 16"),
        "max_tokens": translated("`max_output_tokens`, unless `max_completion_tokens` is set"),
        "messages": translated("`input`"),
        "metadata": translated(_SAME),
        "modalities": rejected("only text output is supported", ["text"], ("text",)),
        "model": translated("`model`, unless the provider has `model=`"),
        "moderation": translated(_SAME),
        "n": rejected("only one answer for each request is supported", 1),
        "parallel_tool_calls": translated(_SAME),
        "prediction": dropped("a hint for speed"),
        "presence_penalty": dropped("penalties are not supported"),
        "prompt_cache_key": translated(_SAME),
        "prompt_cache_options": translated(_SAME),
        "prompt_cache_retention": translated(_SAME),
        "reasoning_effort": translated("`reasoning.effort`"),
        "response_format": translated("`text.format`"),
        "safety_identifier": translated(_SAME),
        "seed": dropped("only best effort in OpenAI's API as well"),
        "service_tier": translated(_SAME),
        "stop": rejected("stop sequences are not supported", []),
        "store": translated("the same; false by default"),
        "stream": dropped("set by `router.call` or `router.stream`"),
        "stream_options": translated("include_usage: a separate usage chunk"),
        "temperature": translated(_SAME),
        "tool_choice": translated("the same, without the nested objects"),
        "tools": translated("the same, without the nested objects"),
        "top_logprobs": translated(_SAME),
        "top_p": translated(_SAME),
        "user": translated(_SAME),
        "verbosity": translated("`text.verbosity`"),
        "web_search_options": rejected("web search is a tool in this API; use options="),
    }
)
