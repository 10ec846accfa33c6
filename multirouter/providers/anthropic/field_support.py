"""How each field of an OpenAI request is treated for Anthropic Messages."""

from __future__ import annotations

from types import MappingProxyType

from multirouter.providers.field_support import Fields, dropped, rejected, translated

FIELDS: Fields = MappingProxyType(
    {
        "audio": rejected("audio output is not supported"),
        "frequency_penalty": dropped("penalties are not supported"),
        "function_call": rejected("is deprecated; use tool_choice"),
        "functions": rejected("is deprecated; use tools"),
        "logit_bias": rejected("token bias is not supported", {}),
        "logprobs": rejected("log probabilities are not supported", False),
        "max_completion_tokens": translated("`max_tokens`; default: the provider's `max_tokens=`"),
        "max_tokens": translated("`max_tokens`, unless `max_completion_tokens` is set"),
        "messages": translated("`messages`; system and developer messages are joined in `system`"),
        "metadata": dropped("labels for OpenAI's own records"),
        "modalities": rejected("only text output is supported", ["text"], ("text",)),
        "model": translated("`model`, unless the provider has `model=`"),
        "moderation": rejected("a moderation setting is not supported"),
        "n": rejected("only one answer for each request is supported", 1),
        "parallel_tool_calls": translated("false: `tool_choice.disable_parallel_tool_use`"),
        "prediction": dropped("a hint for speed"),
        "presence_penalty": dropped("penalties are not supported"),
        "prompt_cache_key": dropped("a hint for speed"),
        "prompt_cache_options": dropped("a hint for speed; `cache_control` on parts is kept"),
        "prompt_cache_retention": dropped("a hint for speed"),
        "reasoning_effort": translated(
            "`output_config.effort` with adaptive thinking, or a thinking budget"
        ),
        "response_format": translated(
            "json_schema: `output_config.format`; json_object: an instruction in `system`"
        ),
        "safety_identifier": translated("`metadata.user_id`"),
        "seed": dropped("only best effort in OpenAI's API as well"),
        "service_tier": translated("auto, default and priority; other values are dropped"),
        "stop": translated("`stop_sequences`; a blank sequence is rejected"),
        "store": dropped("storing is not supported"),
        "stream": dropped("set by `router.call` or `router.stream`"),
        "stream_options": translated("include_usage: a separate usage chunk"),
        "temperature": translated("`temperature`, at most 1; dropped with thinking"),
        "tool_choice": translated("`tool_choice`; allowed_tools: the tools are filtered"),
        "tools": translated("`tools` of type function; custom tools are rejected"),
        "top_logprobs": rejected("log probabilities are not supported", 0),
        "top_p": translated("`top_p`; dropped with thinking"),
        "user": translated("`metadata.user_id`, unless `safety_identifier` is set"),
        "verbosity": dropped("a verbosity setting is not supported"),
        "web_search_options": rejected("web search is a different tool in this API; use options="),
    }
)
