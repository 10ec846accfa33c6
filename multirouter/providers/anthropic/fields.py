"""What becomes of each OpenAI field in Anthropic Messages."""

from __future__ import annotations

from types import MappingProxyType

from multirouter.providers.fields import Fields, dropped, refused, translated

FIELDS: Fields = MappingProxyType(
    {
        "audio": refused("there is no audio output"),
        "frequency_penalty": dropped("there are no penalties"),
        "function_call": refused("is the old form: use tool_choice"),
        "functions": refused("is the old form: use tools"),
        "logit_bias": refused("there is no bias on tokens", {}),
        "logprobs": refused("there are no log probabilities", False),
        "max_completion_tokens": translated("`max_tokens`; left out: the provider's `max_tokens=`"),
        "max_tokens": translated("`max_tokens`, where `max_completion_tokens` is not given"),
        "messages": translated("`messages`; system and developer turns join in `system`"),
        "metadata": dropped("labels for OpenAI's own records"),
        "modalities": refused("text is all it answers with", ["text"], ("text",)),
        "model": translated("`model`, where the provider names none"),
        "moderation": refused("there is no moderation setting"),
        "n": refused("one answer a request", 1),
        "parallel_tool_calls": translated("false: `tool_choice.disable_parallel_tool_use`"),
        "prediction": dropped("a hint for speed"),
        "presence_penalty": dropped("there are no penalties"),
        "prompt_cache_key": dropped("a hint for speed"),
        "prompt_cache_options": dropped("a hint for speed; `cache_control` on parts is kept"),
        "prompt_cache_retention": dropped("a hint for speed"),
        "reasoning_effort": translated(
            "`output_config.effort` with adaptive thinking, or a thinking budget"
        ),
        "response_format": translated(
            "json_schema: `output_config.format`; json_object: a sentence in `system`"
        ),
        "safety_identifier": translated("`metadata.user_id`"),
        "seed": dropped("it is best effort in OpenAI's format too"),
        "service_tier": translated("auto, default and priority; the others are dropped"),
        "stop": translated("`stop_sequences`; one of blanks alone is refused"),
        "store": dropped("there is no store"),
        "stream": dropped("call or stream decides"),
        "stream_options": translated("include_usage: a usage chunk of its own"),
        "temperature": translated("`temperature`, at most 1; dropped beside thinking"),
        "tool_choice": translated("`tool_choice`; allowed_tools: the tools are filtered"),
        "tools": translated("`tools` of type function; custom ones are refused"),
        "top_logprobs": refused("there are no log probabilities", 0),
        "top_p": translated("`top_p`; dropped beside thinking"),
        "user": translated("`metadata.user_id`, where `safety_identifier` is not given"),
        "verbosity": dropped("there is no such setting"),
        "web_search_options": refused("its web search is another tool: see options="),
    }
)
