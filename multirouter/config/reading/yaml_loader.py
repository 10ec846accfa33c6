"""A strict YAML loader: duplicate keys are errors, and only true and false are booleans."""

from __future__ import annotations

import re
from typing import Any

import yaml

from multirouter.errors import ConfigurationError

_BOOLEAN = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """Loads plain data; duplicate keys are errors, and only true and false are booleans."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - yaml's own signature
        """As the base class, but duplicate keys are errors."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"duplicate key {key.value!r}", key.start_mark
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


# In YAML 1.1 `on` and `no` are booleans too; in YAML 1.2 (2009) they are strings.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOLEAN]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    _BOOLEAN, re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF")
)


def parse(source: str, text: str) -> Any:
    """Parses YAML into plain data; an empty text is an empty mapping.

    Raises:
        ConfigurationError: invalid YAML, with line and column.
    """
    try:
        # The loader is a SafeLoader: it constructs plain data only.
        data = yaml.load(text, Loader=_Loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigurationError(source, f"invalid YAML: {where}{error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(source, f"invalid YAML: {error}") from None
    return {} if data is None else data


def yaml_lines(text: str) -> dict[tuple[str | int, ...], int]:
    """The line of each setting, from 1, by its path; empty for invalid YAML."""
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError:
        return {}
    lines: dict[tuple[str | int, ...], int] = {}
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), root)]
    seen: set[int] = set()  # a node with an alias is visited once: it may contain itself
    while pending:
        path, node = pending.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            inner = [
                ((*path, key.value), key, value)
                for key, value in node.value
                if isinstance(key, yaml.ScalarNode)
            ]
        elif isinstance(node, yaml.SequenceNode):
            inner = [((*path, at), value, value) for at, value in enumerate(node.value)]
        else:
            continue
        for place, mark, value in inner:
            lines.setdefault(place, mark.start_mark.line + 1)
            pending.append((place, value))
    return lines
