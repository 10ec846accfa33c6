"""A canonical request as Anthropic Messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError
from multirouter.providers.anthropic.content import conversation
from multirouter.providers.anthropic.fields import FIELDS
from multirouter.providers.canonical import ChatRequest
from multirouter.providers.failures import Failures
from multirouter.providers.fields import check_fields

ThinkingStyle = Literal["adaptive", "budget"]

JSON_PLEASE = "Answer with one JSON object and nothing else."

_EFFORTS = {"minimal": "low", "low": "low", "medium": "medium", "high": "high"} | {
    "xhigh": "xhigh",
    "max": "max",
}
BUDGETS = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 24576,
    "max": 32768,
}
"""Tokens of thinking by effort, for models that want a budget; the API's least is 1024."""

_OFF = {"type": "disabled"}
_TIERS = {"auto": "auto", "default": "standard_only", "priority": "auto"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accent:
    """What differs from model to model.

    Attributes:
        max_tokens: sent when the request names none; the API wants one. At least 1.
        thinking: how `reasoning_effort` is said: `adaptive` with an effort (models since 2026),
            or a `budget` of tokens.
        drops: request fields this model refuses (`("temperature", "top_p")`).
    """

    max_tokens: int = 4096
    thinking: ThinkingStyle = "adaptive"
    drops: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        check.count("Anthropic.max_tokens", self.max_tokens)
        if self.thinking not in ("adaptive", "budget"):
            raise ConfigurationError("Anthropic.thinking", "must be 'adaptive' or 'budget'")


def to_anthropic(
    request: ChatRequest, accent: Accent, failures: Failures, *, stream: bool
) -> dict[str, Any]:
    """The body of `POST /v1/messages`, without `model` where the request has none.

    Raises:
        ProviderError: of kind `request`, for what cannot be said.
    """
    wanted = {key: value for key, value in request.items() if key not in accent.drops}
    check_fields(wanted, FIELDS, failures)
    talk = conversation(request["messages"], failures)
    asked: dict[str, Any] = {key: value for key, value in wanted.items() if value is not None}
    limit = asked.get("max_completion_tokens") or asked.get("max_tokens") or accent.max_tokens
    body: dict[str, Any] = {"max_tokens": limit, "messages": talk.turns}
    if "model" in asked:
        body["model"] = asked["model"]
    body.update(_tools(asked, failures))
    body.update(_thinking(asked, body, accent))
    body.update(_sampling(asked, body, failures))
    system = talk.system + _form(asked, body, failures)
    if system:
        body["system"] = system
    user = asked.get("safety_identifier") or asked.get("user")
    if user:
        body["metadata"] = {"user_id": user}
    if asked.get("service_tier") in _TIERS:
        body["service_tier"] = _TIERS[asked["service_tier"]]
    if stream:
        body["stream"] = True
    return body


def _sampling(
    asked: Mapping[str, Any], body: Mapping[str, Any], failures: Failures
) -> dict[str, Any]:
    """Temperature and the like; a thinking model takes neither temperature nor top_p."""
    said: dict[str, Any] = {}
    if body.get("thinking", _OFF) == _OFF:
        if "temperature" in asked:
            said["temperature"] = min(asked["temperature"], 1)
        if "top_p" in asked:
            said["top_p"] = asked["top_p"]
    stop = asked.get("stop")
    if stop:
        said["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
        if not all(sequence.strip() for sequence in said["stop_sequences"]):
            raise failures.inexpressible("stop", "a sequence of blanks alone is refused")
    return said


def _thinking(asked: Mapping[str, Any], body: Mapping[str, Any], accent: Accent) -> dict[str, Any]:
    """Reasoning, unless a forced tool or an unsigned tool turn rules it out."""
    effort = asked.get("reasoning_effort")
    if effort is None or effort not in _EFFORTS:
        return {"thinking": _OFF} if effort == "none" else {}
    if body.get("tool_choice", {}).get("type") in {"any", "tool"}:
        return {}
    if accent.thinking == "adaptive":
        return {
            "thinking": {"type": "adaptive"},
            "output_config": {"effort": _EFFORTS[effort]},
        }
    if _in_unsigned_tool_turn(asked["messages"]):
        return {}
    budget = BUDGETS[effort]
    return {
        "thinking": {"type": "enabled", "budget_tokens": budget},
        "max_tokens": body["max_tokens"] + budget,
    }


def _in_unsigned_tool_turn(messages: Iterable[Mapping[str, Any]]) -> bool:
    """Whether tools that another provider's model called are being answered.

    With a thinking budget the API wants that turn to begin with thinking it has signed.
    """
    unsigned = False
    for message in messages:
        if message.get("role") == "assistant":
            unsigned = bool(message.get("tool_calls")) and not message.get("thinking_blocks")
        elif message.get("role") == "user":
            unsigned = False
    return unsigned


def _tools(asked: Mapping[str, Any], failures: Failures) -> dict[str, Any]:
    tools = [_tool(tool, failures) for tool in asked.get("tools") or ()]
    if not tools:
        return {}
    choice, allowed = _choice(asked.get("tool_choice"), failures)
    if allowed is not None:
        tools = [tool for tool in tools if tool["name"] in allowed]
    if asked.get("parallel_tool_calls") is False and choice != {"type": "none"}:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return {"tools": tools, "tool_choice": choice} if choice else {"tools": tools}


def _tool(tool: Mapping[str, Any], failures: Failures) -> dict[str, Any]:
    function = tool.get("function")
    if tool.get("type") != "function" or not function:
        raise failures.inexpressible("tools", f"{tool.get('type')!r}: only functions exist here")
    made = {
        "name": function["name"],
        "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
    }
    for field, source in (("description", function), ("strict", function), ("cache_control", tool)):
        if source.get(field):
            made[field] = source[field]
    return made


_CHOICES = {"auto": "auto", "none": "none", "required": "any"}


def _choice(
    choice: str | dict[str, Any] | None, failures: Failures
) -> tuple[dict[str, Any] | None, set[str] | None]:
    """The choice, and the names that are allowed where not all are."""
    if choice is None:
        return None, None
    if isinstance(choice, str):
        if choice in _CHOICES:
            return {"type": _CHOICES[choice]}, None
    elif choice["type"] == "function":
        return {"type": "tool", "name": choice["function"]["name"]}, None
    elif choice["type"] == "allowed_tools":
        allowed = choice["allowed_tools"]
        names = {(tool.get("function") or tool).get("name") for tool in allowed["tools"]}
        return {"type": _CHOICES[allowed["mode"]]}, names
    raise failures.inexpressible("tool_choice", f"{choice!r} cannot be said here")


def _form(
    asked: Mapping[str, Any], body: dict[str, Any], failures: Failures
) -> list[dict[str, Any]]:
    """The form of the answer: a schema in the body, or a sentence for the system prompt."""
    form = asked.get("response_format") or {}
    kind = form.get("type", "text")
    if kind == "json_object":
        return [{"type": "text", "text": JSON_PLEASE}]
    if kind == "json_schema":
        schema = form["json_schema"].get("schema") or {"type": "object"}
        config = body.setdefault("output_config", {})
        config["format"] = {"type": "json_schema", "schema": schema}
    elif kind != "text":
        raise failures.inexpressible("response_format", f"{kind!r} is unknown")
    return []
