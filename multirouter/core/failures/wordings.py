"""Wordings of failures by service: the codes and phrases of error bodies, with their sources.

A code is decisive under every status, a phrase only under the statuses of its kind. All are lower
case. The same 429 is a limit for some seconds or an unpaid bill, the same 400 the caller's mistake,
a bad key or an empty account.
"""

from __future__ import annotations

from collections.abc import Mapping

from multirouter.model import FailureKind

Wordings = Mapping[FailureKind, tuple[str, ...]]

_EXHAUSTED = FailureKind.EXHAUSTED
_CREDENTIALS = FailureKind.CREDENTIALS
_CONTEXT = FailureKind.CONTEXT_LENGTH
_FILTER = FailureKind.CONTENT_FILTER
_UNSUPPORTED = FailureKind.UNSUPPORTED
_NOT_FOUND = FailureKind.NOT_FOUND
_RATE_LIMIT = FailureKind.RATE_LIMIT
_OVERLOADED = FailureKind.OVERLOADED
_REQUEST = FailureKind.REQUEST
_INVALID = FailureKind.INVALID
_SERVER = FailureKind.SERVER

SOURCES: Mapping[str, str] = {
    "openai": "https://platform.openai.com/docs/guides/error-codes; error types of openai 3.52",
    "azure": "https://learn.microsoft.com/azure/ai-services/openai/concepts/content-filter",
    "anthropic": "https://docs.claude.com/en/api/errors; error types of anthropic 2.11",
    "gemini": "https://ai.google.dev/gemini-api/docs/troubleshooting; google-genai 3.4",
    "bedrock": "https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes"
    ".html; AWS's common errors; botocore's list of throttling codes",
    "deepseek": "https://api-docs.deepseek.com/quick_start/error_codes",
    "glm": "https://docs.z.ai/api-reference/api-code; https://docs.bigmodel.cn/cn/api/api-code",
    "kimi": "https://platform.kimi.ai/docs/api/errors; MoonshotAI/kimi-cli issue 2011",
    "qwen": "https://help.aliyun.com/en/model-studio/error-code",
    "mistral": "error bodies in continuedev/continue issue 6185 and cline/cline issue 9085",
    "groq": "https://console.groq.com/docs/errors; autohandai/code-cli issue 377",
    "openrouter": "https://openrouter.ai/docs/api/reference/errors-and-debugging",
    "ollama": "sources of ollama (server/prompt.go, api/types.go); answers of Ollama's cloud",
    "vllm": "vllm-project/vllm issues 12165, 19464 and 20409; its pull request 27099",
    "sglang": "sources of sglang (managers/tokenizer_manager.py)",
    "tgi": "sources of text-generation-inference (router/src/validation.rs, infer/mod.rs)",
    "llama.cpp": "sources of llama.cpp (tools/server)",
    "lmstudio": "error bodies of LM Studio's server",
    "xai": "https://docs.x.ai/docs/key-information/debugging; continuedev/continue issue 10373",
    "together": "https://docs.together.ai/docs/error-codes",
    "fireworks": "https://docs.fireworks.ai/guides/inference-error-codes",
    "cohere": "https://docs.cohere.com/reference/errors",
    "perplexity": "BerriAI/litellm issue 21558",
    "nim": "error bodies of NVIDIA NIM",
}
"""Where the wordings of each service are documented, or were seen."""

CODES: Mapping[str, Wordings] = {
    "openai": {
        _EXHAUSTED: (
            "insufficient_quota",
            "billing_hard_limit_reached",
            "billing_not_active",
            "linked_organization_billing_unavailable",
        ),
        _CREDENTIALS: (
            "invalid_api_key",
            "organization_on_hold",
            "cmek_key_disabled",
            "cmek_key_network_blocked",
        ),
        _CONTEXT: ("context_length_exceeded", "request_body_too_large_after_decoding"),
        _FILTER: ("content_policy_violation",),
        _UNSUPPORTED: ("unsupported_parameter", "unsupported_value", "unknown_parameter"),
        _REQUEST: (
            "string_above_max_length",
            "invalid_value",
            "invalid_type",
            "missing_required_parameter",
        ),
        _NOT_FOUND: ("model_not_found",),
        _RATE_LIMIT: ("rate_limit_exceeded", "ramp_limit_exceeded", "slowdown"),
    },
    "azure": {
        _FILTER: ("content_filter", "responsibleaipolicyviolation"),
        _NOT_FOUND: ("deploymentnotfound",),
    },
    "anthropic": {
        _EXHAUSTED: ("billing_error",),
        _CONTEXT: ("request_too_large",),
        _OVERLOADED: ("overloaded_error",),
    },
    "gemini": {_CREDENTIALS: ("api_key_invalid",)},
    "bedrock": {
        _CREDENTIALS: (
            "expiredtoken",
            "expiredtokenexception",
            "invalidclienttokenid",
            "invalidsignatureexception",
            "signaturedoesnotmatch",
            "unrecognizedclientexception",
        ),
        _RATE_LIMIT: (
            "throttling",
            "throttlingexception",
            "throttledexception",
            "requestthrottledexception",
            "toomanyrequestsexception",
            "requestlimitexceeded",
            "servicequotaexceededexception",
            "limitexceededexception",
        ),
        _OVERLOADED: ("modelnotreadyexception", "serviceunavailableexception"),
        _SERVER: ("modelerrorexception", "modelstreamerrorexception", "modeltimeoutexception"),
    },
    "glm": {
        # 1304: the day's calls are used up; 1308, 1310: the plan's limit; 1309: the plan has ended.
        _EXHAUSTED: ("1113", "1304", "1308", "1309", "1310"),
        _CREDENTIALS: ("1110", "1111", "1112", "1121"),  # the account is inactive or locked
        _CONTEXT: ("1261", "model_context_window_exceeded"),
        _FILTER: ("1301",),
        _UNSUPPORTED: ("1212",),
        _NOT_FOUND: ("1211", "1220", "1221", "1222", "1311"),
        _RATE_LIMIT: ("1302", "1303", "1313"),
        _OVERLOADED: ("1305", "1312"),
    },
    "kimi": {
        _EXHAUSTED: ("exceeded_current_quota_error",),
        _CREDENTIALS: ("invalid_authentication_error", "incorrect_api_key_error"),
        _NOT_FOUND: ("resource_not_found_error",),
        _RATE_LIMIT: ("rate_limit_reached_error",),
        _OVERLOADED: ("engine_overloaded_error",),
    },
    "qwen": {
        _EXHAUSTED: (
            "arrearage",
            "allocationquota.freetieronly",
            "commoditynotpurchased",
            "prepaidbilloverdue",
            "postpaidbilloverdue",
        ),
        _CREDENTIALS: ("invalidapikey", "accessdenied.unpurchased"),
        _FILTER: ("datainspectionfailed", "data_inspection_failed"),
        _UNSUPPORTED: ("invalidparameter.notsupportenablethinking",),
        _NOT_FOUND: ("modelnotfound", "model_not_supported", "model.accessdenied"),
        _RATE_LIMIT: (
            "throttling.ratequota",
            "throttling.burstrate",
            "throttling.allocationquota",
            "limitrequests",
            "limit_requests",
            "limit_burst_rate",
        ),
        _OVERLOADED: ("modelservingerror", "modelunavailable"),
    },
    "mistral": {
        _CONTEXT: ("3051",),
        _RATE_LIMIT: ("rate_limited",),
        _OVERLOADED: ("service_tier_capacity_exceeded",),
    },
    "groq": {
        _CREDENTIALS: ("organization_restricted", "expired_api_key"),
        _NOT_FOUND: ("model_decommissioned",),
        _OVERLOADED: ("capacity_exceeded",),
        # The model produced no valid tool call, or no valid JSON.
        _INVALID: ("tool_use_failed", "json_validate_failed"),
    },
    "openrouter": {_CONTEXT: ("token_limit_exceeded",)},
    "tgi": {_OVERLOADED: ("overloaded",)},
    "llama.cpp": {_CONTEXT: ("exceed_context_size_error",)},
    "together": {_EXHAUSTED: ("credit_limit",)},
}
"""Codes, types and reasons that have one meaning under every status."""

PHRASES: Mapping[str, Wordings] = {
    "openai": {
        _CREDENTIALS: ("incorrect api key provided", "the api_key client option must be set"),
        _UNSUPPORTED: ("max_tokens is too large", "unsupported parameter", "unsupported value"),
        _CONTEXT: (
            "maximum context length",
            "exceeds the context window",
            "input tokens exceed the configured limit",
        ),
    },
    "azure": {_FILTER: ("content management policy",)},
    "anthropic": {
        _EXHAUSTED: ("credit balance is too low", "api usage limits"),
        _FILTER: ("blocked by content filtering policy",),
        _UNSUPPORTED: ("maximum allowed number of output tokens",),
        _CONTEXT: ("prompt is too long", "exceed context limit"),
    },
    "gemini": {
        _EXHAUSTED: ("prepayment credits are depleted",),
        _CREDENTIALS: ("api key not valid", "api key expired"),
        _CONTEXT: (
            "exceeds the maximum number of tokens allowed",
            "request payload size exceeds the limit",
        ),
    },
    "bedrock": {_CONTEXT: ("exceed context window", "input tokens exceeded")},
    "deepseek": {_EXHAUSTED: ("insufficient balance",), _FILTER: ("content exists risk",)},
    "glm": {
        _EXHAUSTED: ("in arrears", "usage limit reached", "余额不足", "已欠费"),
        _CONTEXT: ("prompt exceeds max length", "prompt 超长"),
    },
    "kimi": {
        _EXHAUSTED: ("is suspended, please check your plan", "reached your usage limit"),
        _FILTER: ("considered high risk",),
        _CONTEXT: ("exceeded model token limit", "input token length too long"),
        _OVERLOADED: ("engine is currently overloaded",),
    },
    "qwen": {
        _EXHAUSTED: ("account is in good standing", "free tier of the model has been exhausted"),
        _FILTER: ("may contain inappropriate content",),
        _UNSUPPORTED: ("range of max_tokens should be",),
        _CONTEXT: ("range of input length should be",),
    },
    "mistral": {
        _CONTEXT: ("too large for model with",),
        _OVERLOADED: ("service tier capacity exceeded",),
    },
    "groq": {_CONTEXT: ("reduce the length of the messages",)},
    "openrouter": {
        _EXHAUSTED: ("insufficient credits",),
        _FILTER: ("input was flagged",),
        _CONTEXT: ("maximum allowed input length",),
    },
    "ollama": {
        _EXHAUSTED: ("weekly usage limit", "session usage limit", "hourly usage limit"),
        _CONTEXT: ("prompt too long; exceeded",),
    },
    "vllm": {
        _UNSUPPORTED: ("requires --enable-auto-tool-choice",),
        _CONTEXT: ("longer than the maximum model length", "too long to fit into the model"),
    },
    "sglang": {_CONTEXT: ("longer than the model's context length",)},
    "tgi": {
        _CONTEXT: ("`inputs` tokens + `max_new_tokens` must be", "`inputs` must have less than"),
        _OVERLOADED: ("model is overloaded",),
    },
    "llama.cpp": {_CONTEXT: ("exceeds the available context size",)},
    "lmstudio": {_CONTEXT: ("greater than the context length", "loaded with context length")},
    "xai": {
        _EXHAUSTED: ("used all available credits", "monthly spending limit"),
        _FILTER: ("content violates usage guidelines",),
        _UNSUPPORTED: ("argument not supported on this model",),
        _CONTEXT: ("maximum prompt length is",),
    },
    "together": {_EXHAUSTED: ("credit limit exceeded",)},
    "fireworks": {_EXHAUSTED: ("is suspended, possibly due to",)},
    "cohere": {_UNSUPPORTED: ("max tokens must be less than or equal",)},
    "perplexity": {_CONTEXT: ("total length of all messages is too long",)},
    "nim": {_CONTEXT: ("exceeds the max sequence length",)},
}
"""Phrases of messages, for statuses that have more than one meaning."""

OVERRULING: Mapping[str, Wordings] = {
    # A limit of tokens per minute, though the code is insufficient_quota.
    "qwen": {
        _EXHAUSTED: ("free allocated quota exceeded",),
        _RATE_LIMIT: ("allocated quota exceeded, please increase", "error-code#token-limit"),
    },
    # One request is larger than a minute's tokens: no wait helps.
    "groq": {_CONTEXT: ("request too large for model",)},
    # The code may be invalid_value, as for a value that no model takes.
    "openai": {
        _CONTEXT: ("request too large for",),
        _UNSUPPORTED: ("supported values are:",),
    },
    "bedrock": {_EXHAUSTED: ("too many tokens per day",)},
}
"""Phrases that are more exact than the code beside them."""

COMMON_PHRASES: Wordings = {
    _FILTER: ("moderation", "was flagged", "content policy"),
    _CONTEXT: (
        "input is too long",
        "too many tokens",
        "context window",
        "context length",
        "context size",
    ),
    _UNSUPPORTED: (
        "does not support",
        "is not enabled for",
        "not supported by this model",
        "not supported for this model",
        "not supported on this model",
        "not supported with this model",
    ),
}
"""Phrases of several services, too common to count in an exception without an HTTP status."""

STATUS_WORDS: Wordings = {
    _RATE_LIMIT: ("rate_limit_error", "resource_exhausted"),
    _OVERLOADED: ("unavailable",),
    _SERVER: (
        "server_error",
        "api_error",
        "timeout_error",
        "conflict_error",
        "internal",
        "internal_server_error",
        "internalserverexception",
        "deadline_exceeded",
        "aborted",
    ),
    _CREDENTIALS: ("authentication_error", "unauthenticated"),
    _NOT_FOUND: ("not_found_error", "not_found", "resourcenotfoundexception"),
    _REQUEST: (
        "invalid_request_error",
        "invalid_argument",
        "failed_precondition",
        "validationexception",
    ),
}
"""Codes that only name a status; they count when there is no failing status, as in a stream that
breaks after its 200."""

UNCERTAIN_STATUS_WORDS = ("permission_error", "permission_denied", "accessdeniedexception")
"""Codes that name a 403; one is weak evidence, since it may be about a single model."""
