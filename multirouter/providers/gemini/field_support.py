"""How each field of an OpenAI request is treated for Gemini's generateContent."""

from __future__ import annotations

from types import MappingProxyType

from multirouter.providers.field_support import Fields, dropped, rejected, translated

FIELDS: Fields = MappingProxyType(
    {
        "audio": rejected("audio output has a different form in this API; use options="),
        "frequency_penalty": translated("`generationConfig.frequencyPenalty`"),
        "function_call": rejected("is deprecated; use tool_choice"),
        "functions": rejected("is deprecated; use tools"),
        "logit_bias": rejected("token bias is not supported", {}),
        "logprobs": translated("`generationConfig.responseLogprobs`"),
        "max_completion_tokens": translated("`generationConfig.maxOutputTokens`"),
        "max_tokens": translated("`maxOutputTokens`, unless `max_completion_tokens` is set"),
        "messages": translated(
            "`contents`; system and developer messages are joined in `systemInstruction`"
        ),
        "metadata": dropped("labels for OpenAI's own records"),
        "modalities": rejected(
            "only text output is translated; use options= for others", ["text"], ("text",)
        ),
        "model": translated("the URL, unless the provider has `model=`"),
        "moderation": rejected(
            "a moderation setting is not supported; use safetySettings in options="
        ),
        "n": translated("`generationConfig.candidateCount`"),
        "parallel_tool_calls": dropped("cannot be disabled; several calls may be returned"),
        "prediction": dropped("a hint for speed"),
        "presence_penalty": translated("`generationConfig.presencePenalty`"),
        "prompt_cache_key": dropped("a hint for speed"),
        "prompt_cache_options": dropped("a hint for speed"),
        "prompt_cache_retention": dropped("a hint for speed"),
        "reasoning_effort": translated("`thinkingConfig`: a level, or a budget for Gemini 2"),
        "response_format": translated("`responseMimeType`, `responseJsonSchema`"),
        "safety_identifier": dropped("the API has no such field"),
        "seed": translated("`generationConfig.seed`"),
        "service_tier": dropped("tiers have different names in this API; use options="),
        "stop": translated("`generationConfig.stopSequences`; more than five are rejected"),
        "store": dropped("storing is not supported"),
        "stream": dropped("set by `router.call` or `router.stream`"),
        "stream_options": translated("include_usage: a separate usage chunk"),
        "temperature": translated("`generationConfig.temperature`"),
        "tool_choice": translated("`toolConfig.functionCallingConfig`"),
        "tools": translated("`tools.functionDeclarations`; custom tools are rejected"),
        "top_logprobs": translated("`generationConfig.logprobs`"),
        "top_p": translated("`generationConfig.topP`"),
        "user": dropped("the API has no such field"),
        "verbosity": dropped("a verbosity setting is not supported"),
        "web_search_options": rejected("web search is a different tool in this API; use options="),
    }
)
