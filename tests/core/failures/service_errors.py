"""Error bodies of services, as they send them, with the kind of each.

`wordings.SOURCES` says where each service documents them, or where they were seen.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from multirouter.model import FailureKind

CONTEXT = FailureKind.CONTEXT_LENGTH
EXHAUSTED = FailureKind.EXHAUSTED
CREDENTIALS = FailureKind.CREDENTIALS
FILTER = FailureKind.CONTENT_FILTER
UNSUPPORTED = FailureKind.UNSUPPORTED
RATE_LIMIT = FailureKind.RATE_LIMIT
OVERLOADED = FailureKind.OVERLOADED
NOT_FOUND = FailureKind.NOT_FOUND
INVALID = FailureKind.INVALID
REQUEST = FailureKind.REQUEST


class ServiceError(NamedTuple):
    """One error response of a service, and the kind that it means."""

    service: str
    status: int
    body: Any
    kind: FailureKind


def _error(message: str, **fields: Any) -> dict[str, Any]:
    """An error body in OpenAI's shape."""
    return {"error": {"message": message, **fields}}


def _anthropic(message: str, kind: str = "invalid_request_error", **fields: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "message": message, **fields}}


def _gemini(code: int, status: str, message: str) -> list[dict[str, Any]]:
    return [{"error": {"code": code, "message": message, "status": status}}]


_GROQ_TPM = (
    "Request too large for model `llama-3.1-8b-instant` in organization `org_1` service tier "
    "`on_demand` on tokens per minute (TPM): Limit 6000, Requested 36114, please reduce your "
    "message size and try again."
)
_QUOTA = "You exceeded your current quota, please check your plan and billing details."
_TOKEN_LIMIT = " For details, see: https://help.aliyun.com/zh/model-studio/error-code#token-limit"
_XAI_CREDITS = (
    "Your team 16f2151a has either used all available credits or reached its monthly spending "
    "limit. To continue making API requests, please purchase more credits."
)
_VLLM = (
    "This model's maximum context length is 16384 tokens. However, you requested 122946 tokens "
    "(112946 in the messages, 10000 in the completion). Please reduce the length of the messages."
)

ERRORS = [
    ServiceError("openai", 400, _error(_VLLM, code="context_length_exceeded"), CONTEXT),
    ServiceError(
        "openai", 400, _error("Your input exceeds the context window of this model."), CONTEXT
    ),
    ServiceError("openai", 429, _error(_QUOTA, type="insufficient_quota"), EXHAUSTED),
    ServiceError("openai", 429, _error(_QUOTA, code="insufficient_quota"), EXHAUSTED),
    ServiceError("openai", 429, _error("no", code="billing_hard_limit_reached"), EXHAUSTED),
    ServiceError("openai", 401, _error("no", code="invalid_api_key"), CREDENTIALS),
    ServiceError(
        "openai",
        429,
        _error(
            "Request too large for gpt-4 in organization org-1 on tokens per min (TPM): Limit 1, "
            "Requested 2.",
            type="tokens",
            code="rate_limit_exceeded",
        ),
        CONTEXT,
    ),
    ServiceError(
        "openai",
        400,
        _error(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            code="unsupported_parameter",
        ),
        UNSUPPORTED,
    ),
    ServiceError(
        "openai",
        400,
        _error("max_tokens is too large: 9000. This model's maximum context length is 8192."),
        UNSUPPORTED,
    ),
    ServiceError("anthropic", 400, _anthropic("prompt is too long: 2 tokens > 1 maximum"), CONTEXT),
    ServiceError("anthropic", 413, _anthropic("too large", "request_too_large"), CONTEXT),
    ServiceError("anthropic", 400, _anthropic("Your credit balance is too low to"), EXHAUSTED),
    ServiceError(
        "anthropic",
        400,
        _anthropic(
            "You have reached your specified API usage limits. You will regain access on "
            "2026-02-01 at 00:00 UTC."
        ),
        EXHAUSTED,
    ),
    ServiceError(
        "anthropic",
        400,
        _anthropic("You have reached your specified workspace API usage limits."),
        EXHAUSTED,
    ),
    ServiceError(
        "anthropic",
        429,
        _anthropic(
            "limit", "rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}
        ),
        EXHAUSTED,
    ),
    ServiceError(
        "anthropic", 401, _anthropic("invalid x-api-key", "authentication_error"), CREDENTIALS
    ),
    ServiceError(
        "anthropic",
        400,
        _anthropic(
            "max_tokens: 9000 > 8192, which is the maximum allowed number of output tokens for it"
        ),
        UNSUPPORTED,
    ),
    ServiceError(
        "gemini",
        400,
        _gemini(
            400,
            "INVALID_ARGUMENT",
            "The input token count (1196265) exceeds the maximum number of tokens allowed "
            "(1048575).",
        ),
        CONTEXT,
    ),
    ServiceError(
        "gemini",
        429,
        _gemini(429, "RESOURCE_EXHAUSTED", "Your prepayment credits are depleted."),
        EXHAUSTED,
    ),
    ServiceError("gemini", 429, _gemini(429, "RESOURCE_EXHAUSTED", _QUOTA), RATE_LIMIT),
    ServiceError("gemini", 400, _gemini(400, "INVALID_ARGUMENT", "API key not valid."), CREDENTIALS),
    ServiceError(
        "gemini",
        400,
        _gemini(400, "INVALID_ARGUMENT", "Developer instruction is not enabled for models/gemma"),
        UNSUPPORTED,
    ),
    ServiceError("deepseek", 400, _error(_VLLM, code="invalid_request_error"), CONTEXT),
    ServiceError("deepseek", 402, _error("Insufficient Balance"), EXHAUSTED),
    ServiceError("deepseek", 401, _error("Authentication Fails"), CREDENTIALS),
    ServiceError("deepseek", 400, _error("Content Exists Risk"), FILTER),
    ServiceError("glm", 400, _error("Prompt exceeds max length", code="1261"), CONTEXT),
    ServiceError("glm", 400, _error("Prompt 超长"), CONTEXT),
    ServiceError("glm", 429, _error("余额不足或无可用资源包,请充值。", code="1113"), EXHAUSTED),
    ServiceError(
        "glm", 429, _error("Your account is in arrears, please recharge and try again"), EXHAUSTED
    ),
    ServiceError(
        "glm",
        429,
        _error("Usage limit reached for 5 hour. Your limit will reset at 2026-09-10", code="1308"),
        EXHAUSTED,
    ),
    ServiceError("glm", 401, _error("Authentication Failed", code="1000"), CREDENTIALS),
    ServiceError("glm", 429, _error("Your account has been locked", code="1112"), CREDENTIALS),
    ServiceError("glm", 429, _error("concurrency", code="1302"), RATE_LIMIT),
    ServiceError("glm", 429, _error("该模型当前访问量过大,请您稍后再试", code="1305"), OVERLOADED),
    ServiceError("glm", 400, _error("unsafe or sensitive content", code="1301"), FILTER),
    ServiceError("glm", 400, _error("Model does not exist", code="1211"), NOT_FOUND),
    ServiceError(
        "kimi",
        400,
        _error(
            "Invalid request: Your request exceeded model token limit: 262144 (requested: 269030)",
            type="invalid_request_error",
        ),
        CONTEXT,
    ),
    ServiceError("kimi", 400, _error("Input token length too long"), CONTEXT),
    ServiceError(
        "kimi",
        429,
        _error(
            "Your account org-1 is suspended, please check your plan and billing details",
            type="exceeded_current_quota_error",
        ),
        EXHAUSTED,
    ),
    ServiceError(
        "kimi", 403, _error("You've reached your usage limit for this billing cycle"), EXHAUSTED
    ),
    ServiceError(
        "kimi", 401, _error("Invalid Auth", type="invalid_authentication_error"), CREDENTIALS
    ),
    ServiceError("kimi", 429, _error("max RPM: 3", type="rate_limit_reached_error"), RATE_LIMIT),
    ServiceError(
        "kimi",
        429,
        _error("The engine is currently overloaded", type="engine_overloaded_error"),
        OVERLOADED,
    ),
    ServiceError("kimi", 400, _error("high risk", type="content_filter"), FILTER),
    ServiceError(
        "qwen",
        400,
        _error(
            "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]",
            code="invalid_parameter_error",
        ),
        CONTEXT,
    ),
    ServiceError(
        "qwen",
        400,
        _error(
            "Access denied, please make sure your account is in good standing.",
            type="Arrearage",
            code="Arrearage",
        ),
        EXHAUSTED,
    ),
    ServiceError(
        "qwen",
        403,
        _error(
            "The free tier of the model has been exhausted.", code="AllocationQuota.FreeTierOnly"
        ),
        EXHAUSTED,
    ),
    ServiceError(
        "qwen",
        429,
        {"code": "Throttling.AllocationQuota", "message": "Free allocated quota exceeded."},
        EXHAUSTED,
    ),
    ServiceError("qwen", 429, _error("due", code="PrepaidBillOverdue"), EXHAUSTED),
    ServiceError("qwen", 401, _error("Invalid API-key provided.", code="InvalidApiKey"), CREDENTIALS),
    ServiceError(
        "qwen", 429, _error(_QUOTA + _TOKEN_LIMIT, code="insufficient_quota"), RATE_LIMIT
    ),
    ServiceError(
        "qwen",
        429,
        _error("Allocated quota exceeded, please increase your quota limit", code="x"),
        RATE_LIMIT,
    ),
    ServiceError("qwen", 429, {"code": "Throttling.RateQuota", "message": "no"}, RATE_LIMIT),
    ServiceError("qwen", 400, {"code": "Throttling.User", "message": "no"}, RATE_LIMIT),
    ServiceError("qwen", 400, _error("unsafe", code="data_inspection_failed"), FILTER),
    ServiceError("qwen", 403, _error("Model access denied.", code="Model.AccessDenied"), NOT_FOUND),
    ServiceError(
        "qwen", 400, _error("Range of max_tokens should be [1, 8192]", code="x"), UNSUPPORTED
    ),
    ServiceError(
        "mistral",
        400,
        {
            "object": "error",
            "message": "Prompt contains 65673 tokens and 0 draft tokens, too large for model with "
            "32768 maximum context length",
            "type": "invalid_request_message",
            "code": "3051",
        },
        CONTEXT,
    ),
    ServiceError("mistral", 402, {"message": "Payment required"}, EXHAUSTED),
    ServiceError("mistral", 401, {"message": "Unauthorized", "request_id": "x"}, CREDENTIALS),
    ServiceError(
        "mistral",
        429,
        {"object": "error", "message": "Rate limit exceeded", "type": "rate_limited"},
        RATE_LIMIT,
    ),
    ServiceError(
        "mistral",
        429,
        {
            "object": "error",
            "message": "Service tier capacity exceeded for this model.",
            "type": "invalid_request_error",
            "code": None,
        },
        OVERLOADED,
    ),
    ServiceError(
        "mistral", 400, {"message": "Function calling is not enabled for this model"}, UNSUPPORTED
    ),
    ServiceError(
        "groq",
        400,
        _error(
            "Please reduce the length of the messages or completion.",
            code="context_length_exceeded",
        ),
        CONTEXT,
    ),
    ServiceError(
        "groq", 413, _error(_GROQ_TPM, type="tokens", code="rate_limit_exceeded"), CONTEXT
    ),
    ServiceError("groq", 402, _error("spend limit reached"), EXHAUSTED),
    ServiceError("groq", 401, _error("Invalid API Key", code="invalid_api_key"), CREDENTIALS),
    ServiceError("groq", 400, _error("no", code="organization_restricted"), CREDENTIALS),
    ServiceError("groq", 498, _error("flex", code="capacity_exceeded"), OVERLOADED),
    ServiceError("groq", 400, _error("decommissioned", code="model_decommissioned"), NOT_FOUND),
    ServiceError("groq", 400, _error("bad call", code="tool_use_failed"), INVALID),
    ServiceError(
        "openrouter",
        400,
        _error(
            "This endpoint's maximum context length is 8192 tokens. However, you requested about "
            "9000 tokens",
            code=400,
        ),
        CONTEXT,
    ),
    ServiceError(
        "openrouter",
        400,
        _error(
            "Provider returned error",
            code=400,
            metadata={
                "raw": '{"error": {"message": "prompt is too long: 3 tokens > 2 maximum"}}',
                "provider_name": "Anthropic",
            },
        ),
        CONTEXT,
    ),
    ServiceError("openrouter", 402, _error("Insufficient credits", code=402), EXHAUSTED),
    ServiceError("openrouter", 401, _error("No auth credentials found", code=401), CREDENTIALS),
    ServiceError(
        "openrouter",
        403,
        _error(
            "openai/gpt-4 requires moderation. Your input was flagged for harassment.",
            code=403,
            metadata={"reasons": ["harassment"], "flagged_input": "prompt is too long"},
        ),
        FILTER,
    ),
    ServiceError(
        "ollama", 400, {"error": "prompt too long; exceeded max context length by 50 tokens"}, CONTEXT
    ),
    ServiceError(
        "ollama",
        429,
        {"error": "you (somename) have reached your weekly usage limit, upgrade for higher limits"},
        EXHAUSTED,
    ),
    ServiceError("ollama", 401, {"error": "unauthorized"}, CREDENTIALS),
    ServiceError(
        "ollama", 400, _error("registry.ollama.ai/library/gemma3 does not support tools"), UNSUPPORTED
    ),
    ServiceError("vllm", 400, {"object": "error", "message": _VLLM, "code": 400}, CONTEXT),
    ServiceError(
        "vllm",
        400,
        {
            "object": "error",
            "message": "The decoder prompt (length 40000) is longer than the maximum model length "
            "of 32768. Make sure that `max_model_len` is no smaller than the number of text tokens.",
        },
        CONTEXT,
    ),
    ServiceError(
        "vllm",
        400,
        {
            "message": "The prompt (total length 25938) is too long to fit into the model (context "
            "length 4096)."
        },
        CONTEXT,
    ),
    ServiceError("vllm", 401, {"error": "Unauthorized"}, CREDENTIALS),
    ServiceError(
        "vllm",
        400,
        {"message": '"auto" tool choice requires --enable-auto-tool-choice and a parser'},
        UNSUPPORTED,
    ),
    ServiceError(
        "sglang",
        400,
        {
            "object": "error",
            "message": "The input (40000 tokens) is longer than the model's context length (32768 "
            "tokens).",
            "type": "BadRequestError",
            "code": 400,
        },
        CONTEXT,
    ),
    ServiceError(
        "sglang",
        400,
        {"message": "Requested token count exceeds the model's maximum context length of 32768."},
        CONTEXT,
    ),
    ServiceError(
        "tgi",
        422,
        {
            "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097. "
            "Given: 5000 `inputs` tokens and 10 `max_new_tokens`",
            "error_type": "validation",
        },
        CONTEXT,
    ),
    ServiceError(
        "tgi",
        422,
        {"error": "Input validation error: `inputs` must have less than 4095 tokens. Given: 5000"},
        CONTEXT,
    ),
    ServiceError("tgi", 429, {"error": "busy", "error_type": "overloaded"}, OVERLOADED),
    ServiceError(
        "llama.cpp",
        400,
        _error("the request exceeds it", type="exceed_context_size_error", code=400),
        CONTEXT,
    ),
    ServiceError(
        "lmstudio",
        400,
        {
            "error": "Trying to keep the first 5000 tokens when context the overflows. However, the "
            "model is loaded with context length of only 4096 tokens"
        },
        CONTEXT,
    ),
    ServiceError(
        "xai",
        400,
        {
            "code": "Client specified an invalid argument",
            "error": "This model's maximum prompt length is 131072 but the request contains 146284 "
            "tokens.",
        },
        CONTEXT,
    ),
    ServiceError("xai", 429, {"code": "exhausted", "error": _XAI_CREDITS}, EXHAUSTED),
    ServiceError("xai", 403, {"code": "permission-denied", "error": _XAI_CREDITS}, EXHAUSTED),
    ServiceError(
        "xai",
        400,
        {"code": "invalid", "error": "Incorrect API key provided: xa***. You can obtain an API key"},
        CREDENTIALS,
    ),
    ServiceError(
        "xai",
        400,
        {"code": "x", "error": "Argument not supported on this model: presencePenalty"},
        UNSUPPORTED,
    ),
    ServiceError(
        "together",
        400,
        _error("The input (516368 tokens) is longer than the model's context length (262144)."),
        CONTEXT,
    ),
    ServiceError(
        "together", 402, _error("Credit limit exceeded", type="credit_limit"), EXHAUSTED
    ),
    ServiceError("together", 401, _error("Invalid API key provided"), CREDENTIALS),
    ServiceError(
        "fireworks", 400, _error("The prompt is too long: 5000, model maximum: 4096"), CONTEXT
    ),
    ServiceError(
        "fireworks",
        412,
        _error(
            "Account mi1ng is suspended, possibly due to reaching the monthly spending limit or "
            "failure to pay past invoices.",
            code="PRECONDITION_FAILED",
        ),
        EXHAUSTED,
    ),
    ServiceError("fireworks", 401, _error("unauthorized"), CREDENTIALS),
    ServiceError(
        "cohere",
        400,
        {
            "message": "too many tokens: total number of tokens in the prompt cannot exceed 4081 - "
            "received 4292. Try using a shorter prompt."
        },
        CONTEXT,
    ),
    ServiceError(
        "cohere",
        400,
        {
            "message": "too many tokens: max tokens must be less than or equal to 4096, the maximum "
            "output for this model - received 8192."
        },
        UNSUPPORTED,
    ),
    ServiceError("cohere", 402, {"message": "Please add a payment method"}, EXHAUSTED),
    ServiceError("cohere", 401, {"message": "invalid api token"}, CREDENTIALS),
    ServiceError(
        "bedrock", 400, {"message": "Input is too long for requested model."}, CONTEXT
    ),
    ServiceError(
        "bedrock",
        400,
        {
            "message": "The model returned the following errors: Input Tokens Exceeded: Number of "
            "input tokens exceeds maximum length."
        },
        CONTEXT,
    ),
    ServiceError(
        "bedrock",
        429,
        {"__type": "ThrottlingException", "message": "Too many tokens, please wait before trying"},
        RATE_LIMIT,
    ),
    ServiceError(
        "bedrock",
        429,
        {"__type": "ThrottlingException", "message": "Too many tokens per day, please wait before"},
        EXHAUSTED,
    ),
    ServiceError(
        "azure",
        400,
        _error("The response was filtered due to Azure OpenAI's content management policy"),
        FILTER,
    ),
    ServiceError(
        "perplexity", 400, _error("The total length of all messages is too long."), CONTEXT
    ),
    ServiceError("perplexity", 401, _error(_QUOTA, type="insufficient_quota"), EXHAUSTED),
    ServiceError(
        "nim", 400, {"message": "Encountered length of 5000 tokens, which exceeds the max sequence length of 4096"}, CONTEXT
    ),
    # Words of a limit that are not about the request's length, and the reverse.
    ServiceError("openai", 500, _error("maximum context length"), FailureKind.SERVER),
    ServiceError("openai", 404, _error("insufficient balance"), NOT_FOUND),
    ServiceError("openai", 400, _error("temperature must be at most 2"), REQUEST),
]
