"""OpenAI-compatible services by name: address, key variable, and the differences of each API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from multirouter.providers.calls import ids, names
from multirouter.providers.calls.ids import IdRule
from multirouter.providers.calls.names import NameRule
from multirouter.providers.openai.prefill import FINAL, PARTIAL, PREFIX

PresetName = Literal[
    "openai",
    "deepseek",
    "glm",
    "kimi",
    "qwen",
    "mistral",
    "groq",
    "openrouter",
    "ollama",
    "vllm",
]

OWN_FIELDS = ("thinking_blocks", "extra_content")
"""Fields that other adapters add to assistant messages for their own next turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """An OpenAI-compatible service.

    Attributes:
        base_url: the address before `/chat/completions` and `/embeddings`.
        variable: the environment variable of the key, or "".
        needs_key: whether a missing key is an error; local servers need none.
        renames: request fields that this service has under another name.
        drops: request fields that it rejects, and whose absence does not change the meaning.
        strips: fields of assistant messages that it rejects.
        reasoning: the field of an assistant's message in which it takes the reasoning of an earlier
            turn; "" if it takes none.
        needs_reasoning: whether it rejects turns with tool calls and without `reasoning_content`.
        cache_marks: whether it takes `cache_control` on messages, parts and tools.
        ids: the ids of tool calls that it accepts.
        names: the names of tools that it accepts.
        late_system: whether it takes system messages behind the first turn.
        user_length: the longest `user` that it accepts, characters.
        developer: whether it accepts the role `developer`; for others it becomes `system`.
        prefill_turn: fields that mark a last assistant message as a prefill.
        prefill_request: fields of the request that do the same.
        stream_usage: whether it accepts `stream_options={"include_usage": true}`.
        responses: whether it has the Responses API. At an address of its own, a service of the
            preset may lack it all the same.
    """

    base_url: str
    variable: str = ""
    needs_key: bool = True
    renames: Mapping[str, str] = field(default_factory=dict)
    drops: frozenset[str] = frozenset()
    strips: tuple[str, ...] = OWN_FIELDS
    reasoning: str = "reasoning_content"
    needs_reasoning: bool = False
    cache_marks: bool = False
    ids: IdRule = ids.OPENAI
    names: NameRule = names.OPENAI
    late_system: bool = False
    user_length: int = 64
    developer: bool = False
    prefill_turn: Mapping[str, bool] = field(default_factory=dict)
    prefill_request: Mapping[str, bool] = field(default_factory=dict)
    stream_usage: bool = True
    responses: bool = False


_WITHOUT_REASONING = (*OWN_FIELDS, "reasoning_content", "reasoning", "reasoning_details")
_OLD_LIMIT: Mapping[str, str] = MappingProxyType({"max_completion_tokens": "max_tokens"})
PRESETS: Mapping[PresetName, Preset] = MappingProxyType(
    {
        # Its validator rejects unknown message fields.
        "openai": Preset(
            base_url="https://api.openai.com/v1",
            variable="OPENAI_API_KEY",
            strips=_WITHOUT_REASONING,
            reasoning="",
            late_system=True,
            developer=True,
            responses=True,
        ),
        "deepseek": Preset(
            base_url="https://api.deepseek.com/v1",
            variable="DEEPSEEK_API_KEY",
            renames=_OLD_LIMIT,
            needs_reasoning=True,
            late_system=True,
            prefill_turn=PREFIX,
        ),
        "glm": Preset(
            base_url="https://api.z.ai/api/paas/v4", variable="ZAI_API_KEY", renames=_OLD_LIMIT
        ),
        "kimi": Preset(
            base_url="https://api.moonshot.ai/v1",
            variable="MOONSHOT_API_KEY",
            renames=_OLD_LIMIT,
            needs_reasoning=True,
            prefill_turn=PARTIAL,
        ),
        "qwen": Preset(
            base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
            variable="DASHSCOPE_API_KEY",
            renames=_OLD_LIMIT,
            cache_marks=True,
            prefill_turn=PARTIAL,
        ),
        # Rejects every unknown field (422 extra_forbidden), and always sends usage.
        "mistral": Preset(
            base_url="https://api.mistral.ai/v1",
            variable="MISTRAL_API_KEY",
            renames=MappingProxyType({**_OLD_LIMIT, "seed": "random_seed"}),
            drops=frozenset(
                {
                    "logit_bias",
                    "prompt_cache_key",
                    "prompt_cache_options",
                    "prompt_cache_retention",
                    "safety_identifier",
                    "service_tier",
                    "store",
                    "stream_options",
                    "user",
                    "verbosity",
                }
            ),
            strips=(*_WITHOUT_REASONING, "refusal", "annotations"),
            reasoning="",
            ids=ids.MISTRAL,
            prefill_turn=PREFIX,
            stream_usage=False,
        ),
        # Its validator rejects unknown fields of messages.
        "groq": Preset(
            base_url="https://api.groq.com/openai/v1",
            variable="GROQ_API_KEY",
            strips=_WITHOUT_REASONING,
            reasoning="",
        ),
        "openrouter": Preset(
            base_url="https://openrouter.ai/api/v1",
            variable="OPENROUTER_API_KEY",
            strips=("thinking_blocks",),
            reasoning="reasoning",
            cache_marks=True,
            late_system=True,
            user_length=128,
        ),
        "ollama": Preset(
            base_url="http://localhost:11434/v1",
            variable="OLLAMA_API_KEY",
            needs_key=False,
            renames=_OLD_LIMIT,
        ),
        "vllm": Preset(
            base_url="http://localhost:8000/v1",
            variable="VLLM_API_KEY",
            needs_key=False,
            prefill_request=FINAL,
        ),
    }
)
