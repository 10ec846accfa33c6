"""The JSON Schema: in step with the classes, and of one mind with the validation."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
import yaml

from multirouter.config.discovery import discovered
from multirouter.config.schema import FILE, make_schema, schema_text
from tests.config.test_settings import HOUSE


def test_the_shipped_schema_is_in_step() -> None:
    """After a change `schema.FILE.write_text(schema.schema_text())` makes it anew."""
    assert FILE.read_text(encoding="utf-8") == schema_text()


def test_it_is_a_schema() -> None:
    """Of the draft that it names."""
    jsonschema.Draft202012Validator.check_schema(make_schema())


def valid(data: Any) -> bool:
    """Whether the schema lets it pass."""
    return jsonschema.Draft202012Validator(make_schema()).is_valid(data)


def test_it_lets_pass_what_is_right() -> None:
    """References may stand where numbers are wanted, and one thing for a list of one."""
    assert valid(yaml.safe_load(HOUSE.replace("on:", '"on":')))
    assert valid(discovered({}))
    assert valid({"providers": {"a": {"kind": "echo", "weight": "${W:-3}"}}})
    assert valid({"providers": {"a": {"budget": {"usd": 1}}}, "budget": [{"usd": 2}]})


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"providers": {"a": {"wieght": 1}}},
        {"providers": {"a": {"weight": "heavy"}}},
        {"providers": {"a": {"kind": "antropic"}}},
        {"providers": {"a": {}}, "routes": {"r": {}}},
        {"providers": {"a": {}}, "policies": {"retry": {"atempts": 2}}},
    ],
)
def test_it_marks_what_is_wrong(data: dict[str, Any]) -> None:
    """So that an editor underlines it."""
    assert not valid(data)


def test_settings_are_described() -> None:
    """Nearly every setting says in words what it is for."""
    silent = [
        f"{name}.{setting}"
        for name, section in make_schema()["$defs"].items()
        for setting, shape in section.get("properties", {}).items()
        if "description" not in shape
    ]
    assert silent == []
