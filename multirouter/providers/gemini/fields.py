"""What becomes of each OpenAI field in Gemini's format."""

from __future__ import annotations

from types import MappingProxyType

from multirouter.providers.fields import Fields, dropped, refused, translated

FIELDS: Fields = MappingProxyType(
    {
        "audio": refused("audio output has another form here: see options="),
        "frequency_penalty": translated("`generationConfig.frequencyPenalty`"),
        "function_call": refused("is the old form: use tool_choice"),
        "functions": refused("is the old form: use tools"),
        "logit_bias": refused("there is no bias on tokens", {}),
        "logprobs": translated("`generationConfig.responseLogprobs`"),
        "max_completion_tokens": translated("`generationConfig.maxOutputTokens`"),
        "max_tokens": translated("`maxOutputTokens`, where `max_completion_tokens` is not given"),
        "messages": translated("`contents`; system and developer turns join in systemInstruction"),
        "metadata": dropped("labels for OpenAI's own records"),
        "modalities": refused("other output than text: see options=", ["text"], ("text",)),
        "model": translated("the address, where the provider names no model"),
        "moderation": refused("there is no moderation setting: see options= for safetySettings"),
        "n": translated("`generationConfig.candidateCount`"),
        "parallel_tool_calls": dropped("it cannot be turned off: several calls may come"),
        "prediction": dropped("a hint for speed"),
        "presence_penalty": translated("`generationConfig.presencePenalty`"),
        "prompt_cache_key": dropped("a hint for speed"),
        "prompt_cache_options": dropped("a hint for speed"),
        "prompt_cache_retention": dropped("a hint for speed"),
        "reasoning_effort": translated("`thinkingConfig`: a level, for Gemini 2 a budget"),
        "response_format": translated("`responseMimeType`, `responseJsonSchema`"),
        "safety_identifier": dropped("there is no place for it"),
        "seed": translated("`generationConfig.seed`"),
        "service_tier": dropped("tiers have other names: see options="),
        "stop": translated("`generationConfig.stopSequences`; more than five are refused"),
        "store": dropped("there is no store"),
        "stream": dropped("call or stream decides"),
        "stream_options": translated("include_usage: a usage chunk of its own"),
        "temperature": translated("`generationConfig.temperature`"),
        "tool_choice": translated("`toolConfig.functionCallingConfig`"),
        "tools": translated("`tools.functionDeclarations`; custom ones are refused"),
        "top_logprobs": translated("`generationConfig.logprobs`"),
        "top_p": translated("`generationConfig.topP`"),
        "user": dropped("there is no place for it"),
        "verbosity": dropped("there is no such setting"),
        "web_search_options": refused("its web search is another tool: see options="),
    }
)
