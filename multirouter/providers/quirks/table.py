"""The table of known quirks: which models, what differs, who says so, and since when we know.

Rows are applied in their order; a later row replaces what an earlier one says. A model that no row
matches takes everything. What is missing here is found by `repair`, at the cost of one request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple


class Row(NamedTuple):
    """One row.

    Attributes:
        service: the service, by the name of its preset or format.
        pattern: matches the beginning of the names of its models.
        settings: attributes of `Quirks`.
        source: where it is documented or was seen.
        date: when it was checked.
    """

    service: str
    pattern: re.Pattern[str]
    settings: Mapping[str, Any]
    source: str
    date: str


_REASONING_DROPS = frozenset(
    {
        "temperature",
        "top_p",
        "presence_penalty",
        "frequency_penalty",
        "logprobs",
        "top_logprobs",
        "logit_bias",
    }
)
_OPENAI_GUIDE = "OpenAI: Reasoning models; API reference of chat completions"
_OPENAI_MODELS = "OpenAI: pages of the models"
_CLAUDE = "Anthropic: What's new in the models; Adaptive thinking; errors of the API"
_CLAUDE_MODELS = "Anthropic: Models overview"
_SAMPLING = frozenset({"temperature", "top_p", "top_k"})
_CHECKED = "2026-11-29"


def _row(service: str, pattern: str, source: str, **settings: Any) -> Row:
    return Row(service, re.compile(pattern), settings, source, _CHECKED)


TABLE: tuple[Row, ...] = (
    # ── OpenAI ──────────────────────────────────────────────────────────────────────────────────
    _row("openai", r"(chatgpt|gpt-[34])", _OPENAI_GUIDE, efforts=()),
    _row("openai", r"gpt-4o", _OPENAI_MODELS, max_output=16_384),
    _row("openai", r"gpt-4\.1", _OPENAI_MODELS, max_output=32_768),
    _row("openai", r"gpt-4-turbo", _OPENAI_MODELS, max_output=4096),
    _row(
        "openai",
        r"(o[1-9]|gpt-([5-9]|\d\d))",
        _OPENAI_GUIDE,
        drops=_REASONING_DROPS,
        renames={"max_tokens": "max_completion_tokens"},
    ),
    _row("openai", r"o[1-9]", _OPENAI_GUIDE, efforts=("low", "medium", "high"), max_output=100_000),
    _row("openai", r"gpt-5", _OPENAI_MODELS, max_output=128_000),
    _row("openai", r"gpt-5(?!\.)", _OPENAI_GUIDE, efforts=("minimal", "low", "medium", "high")),
    _row("openai", r"gpt-5\.1", _OPENAI_GUIDE, efforts=("none", "low", "medium", "high")),
    _row(
        "openai",
        r"(gpt-5\.([2-9]|\d\d)|gpt-([6-9]|\d\d))",
        _OPENAI_GUIDE,
        efforts=("none", "low", "medium", "high", "xhigh"),
    ),
    _row(
        "openai",
        r"(gpt-5\.([6-9]|\d\d)|gpt-([6-9]|\d\d))",
        "the error of chat completions that names /v1/responses for tools with reasoning",
        needs_responses=True,
    ),
    _row(
        "openai",
        r"gpt-5[.\d]*-chat",
        _OPENAI_MODELS,
        drops=frozenset(),
        efforts=(),
        max_output=16_384,
    ),
    # ── Anthropic ───────────────────────────────────────────────────────────────────────────────
    _row(
        "anthropic",
        r"claude-([23]|instant|[a-z]+-3|[a-z]+-4(-[0-5])?(-\d{6,}|-latest|@|$))",
        _CLAUDE,
        thinking="budget",
    ),
    _row("anthropic", r"claude-[a-z]+-4-[15]", _CLAUDE, one_of=("temperature", "top_p")),
    _row(
        "anthropic",
        r"claude-[a-z]+-(4-([6-9]|\d\d)(?!\d)|([5-9]|\d\d)(?!\d))",
        _CLAUDE,
        thinking="adaptive",
        prefill=False,
    ),
    _row(
        "anthropic",
        r"claude-[a-z]+-(4-([7-9]|\d\d)(?!\d)|([5-9]|\d\d)(?!\d))",
        _CLAUDE,
        drops=_SAMPLING,
    ),
    _row("anthropic", r"claude-3-(opus|sonnet|haiku)", _CLAUDE_MODELS, max_output=4096),
    _row("anthropic", r"claude-3-5", _CLAUDE_MODELS, max_output=8192),
    _row("anthropic", r"claude-opus-4-?[01]?(-\d{6,})?$", _CLAUDE_MODELS, max_output=32_000),
    _row("anthropic", r"claude-(sonnet-4|haiku-4-5|opus-4-5)", _CLAUDE_MODELS, max_output=64_000),
    _row("anthropic", r"claude-(opus|sonnet)-4-[6-9]", _CLAUDE_MODELS, max_output=128_000),
    _row("anthropic", r"claude-[a-z]+-[5-9](?!\d)", _CLAUDE_MODELS, max_output=128_000),
    # ── Gemini ──────────────────────────────────────────────────────────────────────────────────
    _row("gemini", r"gemini-[2-9]", "Google: pages of the models", max_output=65_536),
    _row(
        "gemini",
        r"gemini-3[.\d]*-pro",
        "Google: Gemini 3, thinking levels",
        efforts=("low", "high"),
    ),
)
