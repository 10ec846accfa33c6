"""YAML without its traps: a setting that stands there twice is a mistake, as in TOML."""

from __future__ import annotations

import re
from typing import Any

import yaml

from multirouter.errors import ConfigurationError

_SWITCH = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """Plain data only, each name once, and of the words only true and false are switches."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - yaml's own signature
        """As the base class, but a name that is there twice is refused."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} is there twice", key.start_mark
                )
            if isinstance(key, yaml.ScalarNode):
                seen.add(key.value)
        made: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return made


# YAML 1.1 takes `on` and `no` for switches too; YAML 1.2, of 2009, does not.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, sign) for tag, sign in known if tag != _SWITCH]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_SWITCH, re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF"))


def parse(source: str, text: str) -> Any:
    """A YAML text as plain data; an empty one is an empty section.

    Raises:
        ConfigurationError: naming line and column.
    """
    try:
        # The loader makes plain data only, as safe_load does.
        data = yaml.load(text, Loader=_Loader)  # noqa: S506
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigurationError(source, f"is no YAML: {where}{error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigurationError(source, f"is no YAML: {error}") from None
    return {} if data is None else data
