"""Bodies of this format for a certain model, as clients of this format or translations made them.

Turns lose what another provider's model has left in them. A model that the client did not name gets
the body in the form that it takes.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from multirouter.providers.anthropic.conversation import THINKING, is_signed, tool_id
from multirouter.providers.anthropic.request import BUDGETS
from multirouter.providers.calls.names import ToolNames
from multirouter.providers.calls.unique_ids import UniqueIds
from multirouter.providers.quirks.model_quirks import Quirks
from multirouter.providers.value_types import is_mapping

_MIN_BUDGET = 1024
"""Source: the validation errors of the API, `thinking.budget_tokens`."""


def fitted(body: dict[str, Any], quirks: Quirks) -> dict[str, Any]:
    """The body with limits that the model takes: `max_tokens`, and a budget of thinking below it.

    Args:
        body: a body; changed in place.
        quirks: what the model takes.
    """
    limit, longest = body.get("max_tokens"), quirks.max_output
    if type(limit) is int and longest is not None and limit > longest:
        limit = body["max_tokens"] = longest
    thinking = body.get("thinking") or {}
    budget = thinking.get("budget_tokens")
    if type(limit) is int and type(budget) is int and budget >= limit:
        if limit > _MIN_BUDGET:
            body["thinking"] = {**thinking, "budget_tokens": max(_MIN_BUDGET, limit // 2)}
        else:
            del body["thinking"]
    return body


def for_other_model(body: Mapping[str, Any], quirks: Quirks) -> dict[str, Any]:
    """A client's body for a model that the client did not name: what that model takes of it."""
    adapted = {key: value for key, value in body.items() if key not in quirks.drops}
    for name in [name for name in quirks.one_of if adapted.get(name) is not None][1:]:
        del adapted[name]
    thinking, config = adapted.get("thinking"), adapted.get("output_config")
    kind = thinking.get("type") if isinstance(thinking, Mapping) else None
    effort = config.get("effort") if isinstance(config, Mapping) else None
    if quirks.thinking == "budget":
        if kind == "adaptive":
            tokens = BUDGETS.get(str(effort), BUDGETS["high"])
            adapted["thinking"] = {"type": "enabled", "budget_tokens": tokens}
        if isinstance(config, Mapping) and "effort" in config:
            rest = {key: value for key, value in config.items() if key != "effort"}
            adapted.pop("output_config")
            adapted.update({"output_config": rest} if rest else {})
    elif quirks.thinking == "adaptive" and kind == "enabled" and isinstance(thinking, Mapping):
        kept = {key: value for key, value in thinking.items() if key != "budget_tokens"}
        adapted["thinking"] = {**kept, "type": "adaptive"}
        budget = thinking.get("budget_tokens")
        if not effort and type(budget) is int:
            nearest = min(_LEVELS, key=lambda name: abs(BUDGETS[name] - budget))
            adapted["output_config"] = {**(config or {}), "effort": nearest}
    return fitted(adapted, quirks)


_ID_FIELDS = {"tool_use": "id", "tool_result": "tool_use_id"}
_LEVELS = ("low", "medium", "high", "xhigh", "max")


def without_unsigned(turns: Any) -> Any:
    """The turns without thinking that is not signed, which the API rejects.

    Such thinking is that of another provider's model, which answered an earlier turn. A turn of it
    alone is left out. Turns without it are not changed; the list is not either.
    """
    if not isinstance(turns, list) or not any(_has_unsigned(turn) for turn in turns):
        return turns
    kept = []
    for turn in turns:
        if not _has_unsigned(turn):
            kept.append(turn)
            continue
        content = [block for block in turn["content"] if not _is_unsigned(block)]
        if content:
            kept.append({**turn, "content": content})
    return kept


def with_valid_calls(body: dict[str, Any], names: ToolNames) -> dict[str, Any]:
    """The body with names and ids of tools and calls that the API accepts.

    Those of other providers' models, and of clients that have long names, are replaced as they are
    in translations.

    Args:
        body: a body; changed in place, but nothing in it.
        names: the names of its tools.
    """
    choice, tools, turns = body.get("tool_choice"), body.get("tools"), body.get("messages")
    if names and isinstance(tools, list):
        body["tools"] = [names.renamed(tool) for tool in tools]
        body.update({"tool_choice": names.renamed(choice)} if choice else {})
    if isinstance(turns, list):
        ids = UniqueIds(tool_id)
        body["messages"] = [_with_valid_blocks(turn, names, ids) for turn in turns]
    return body


def _with_valid_blocks(turn: Any, names: ToolNames, ids: UniqueIds) -> Any:
    content = turn.get("content") if is_mapping(turn) else None
    if not isinstance(content, list):
        return turn
    blocks = [_with_valid_call(block, names, ids) for block in content]
    changed = any(map(operator.is_not, blocks, content))
    return {**turn, "content": blocks} if changed else turn


def _with_valid_call(block: Any, names: ToolNames, ids: UniqueIds) -> Any:
    kind = block.get("type") if is_mapping(block) else None
    field = _ID_FIELDS.get(kind) if isinstance(kind, str) else None
    if field is None:
        return block
    call_id = block.get(field)
    if isinstance(call_id, str):
        valid = ids.of_call(call_id) if kind == "tool_use" else ids.of_result(call_id)
        block = block if valid == call_id else {**block, field: valid}
    return names.renamed(block) if kind == "tool_use" else block


def _has_unsigned(turn: Any) -> bool:
    content = turn.get("content") if is_mapping(turn) else None
    return isinstance(content, list) and any(map(_is_unsigned, content))


def _is_unsigned(block: Any) -> bool:
    return is_mapping(block) and block.get("type") in THINKING and not is_signed(block)
