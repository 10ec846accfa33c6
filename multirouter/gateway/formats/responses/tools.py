"""Translates tools of the Responses format to functions, and calls of functions back.

Functions pass as they are. A custom tool, whose input is free text, becomes a function with one
string. The functions of a namespace get the namespace as a prefix. A tool of any other type that
the client runs, and that has a schema of its parameters, becomes a function with the name of the
type. Tools that only a service of OpenAI can run have no counterpart, and are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from multirouter.gateway.http.http_error import invalid_field, shown
from multirouter.providers.value_types import is_mapping

ToolKind = Literal["function", "custom", "other"]

_FREE_TEXT = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "The whole input of the tool."}},
    "required": ["input"],
    "additionalProperties": False,
}
_FUNCTION_FIELDS = ("description", "strict", "parameters")


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool of the client.

    Attributes:
        kind: how its calls are written: `function_call`, `custom_tool_call`, or an item of the
            tool's own type.
        name: its name, or its type for a tool without a name.
        namespace: the namespace of the name; "" for none.
        execution: who runs it, as the tool itself says; "" if it does not.
    """

    kind: ToolKind
    name: str
    namespace: str = ""
    execution: str = ""


class Tools:
    """The tools of one request.

    Attributes:
        functions: the tools as canonical functions, in order.
        dropped: the types of tools without a counterpart.
    """

    def __init__(self) -> None:
        self.functions: list[dict[str, Any]] = []
        self.dropped: list[str] = []
        self._by_function: dict[str, Tool] = {}
        self._names: dict[tuple[str, str], str] = {}

    def add(self, tools: Any, param: str, namespace: str = "") -> None:
        """Adds a list of tools.

        Args:
            tools: the list, as the request has it.
            param: the field, for errors.
            namespace: the namespace that contains them.

        Raises:
            HTTPError: 400, for what is no list of objects with a type.
        """
        if not isinstance(tools, list):
            raise invalid_field(param, f"must be a list, got {shown(tools)}")
        for number, tool in enumerate(tools):
            kind = tool.get("type") if is_mapping(tool) else None
            if not isinstance(kind, str):
                problem = f"must be an object with a `type`, got {shown(tool)}"
                raise invalid_field(f"{param}[{number}]", problem)
            self._add(kind, tool, f"{param}[{number}]", namespace)

    def function_name(self, name: str, namespace: str | None = None) -> str:
        """The name of the function for a tool; names of unknown tools get their prefix alike."""
        known = self._names.get((namespace or "", name))
        return known or _joined(namespace or "", name)

    def tool(self, function: str) -> Tool:
        """The tool of a function; a function that the model made up is one of that name."""
        return self._by_function.get(function) or Tool("function", function)

    def _add(self, kind: str, tool: Mapping[str, Any], param: str, namespace: str) -> None:
        name = tool.get("name")
        if kind == "namespace":
            self.add(tool.get("tools"), f"{param}.tools", _name(name, param))
        elif kind == "function":
            fields = {field: tool[field] for field in _FUNCTION_FIELDS if tool.get(field)}
            fields.setdefault("parameters", {"type": "object", "properties": {}})
            self._register(Tool("function", _name(name, param), namespace), fields)
        elif kind == "custom":
            fields = {"description": _free_text_description(tool), "parameters": _FREE_TEXT}
            self._register(Tool("custom", _name(name, param), namespace), fields)
        elif is_mapping(tool.get("parameters")) and tool.get("execution") != "server":
            fields = {field: tool[field] for field in _FUNCTION_FIELDS if tool.get(field)}
            label = name if isinstance(name, str) and name else kind
            other = Tool("other", label, namespace, str(tool.get("execution") or ""))
            self._register(other, fields)
        else:
            self.dropped.append(kind)

    def _register(self, tool: Tool, fields: Mapping[str, Any]) -> None:
        if (tool.namespace, tool.name) in self._names:
            return
        function = _joined(tool.namespace, tool.name)
        while function in self._by_function:
            function += "_"
        self._names[tool.namespace, tool.name] = function
        self._by_function[function] = tool
        self.functions.append({"type": "function", "function": {"name": function, **fields}})


def tool_choice(choice: Any, tools: Tools) -> Any:
    """The canonical tool choice; None if the chosen tool has no counterpart."""
    if not is_mapping(choice):
        return choice
    if choice.get("type") == "allowed_tools":
        named = [_function_choice(one, tools) for one in choice.get("tools") or ()]
        allowed = [one for one in named if one is not None]
        mode = choice.get("mode") or "auto"
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": allowed}}
    return _function_choice(choice, tools)


def _function_choice(choice: Mapping[str, Any], tools: Tools) -> dict[str, Any] | None:
    name = tools.function_name(
        str(choice.get("name") or choice.get("type")), choice.get("namespace")
    )
    known = any(function["function"]["name"] == name for function in tools.functions)
    return {"type": "function", "function": {"name": name}} if known else None


def call_arguments(values: Mapping[str, Any], skipped: Iterable[str]) -> dict[str, Any]:
    """The fields of a call of another type that are its arguments."""
    left_out = set(skipped)
    return {name: value for name, value in values.items() if name not in left_out}


def _free_text_description(tool: Mapping[str, Any]) -> str:
    """The description of a custom tool, with its grammar and where the text belongs."""
    parts = [tool.get("description") or "", "Pass the whole text as the string `input`."]
    grammar = tool.get("format") or {}
    if grammar.get("type") == "grammar":
        grammar = grammar.get("grammar") or grammar
        syntax, definition = grammar.get("syntax"), grammar.get("definition")
        parts.append(f"It must match this {syntax} grammar:\n{definition}")
    return "\n\n".join(part for part in parts if part)


def _joined(namespace: str, name: str) -> str:
    if not namespace:
        return name
    return f"{namespace}{name}" if namespace.endswith("__") else f"{namespace}__{name}"


def _name(name: Any, param: str) -> str:
    if not isinstance(name, str) or not name:
        raise invalid_field(f"{param}.name", f"must be a name, got {shown(name)}")
    return name
