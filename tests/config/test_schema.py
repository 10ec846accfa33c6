"""The JSON Schema: up to date with the classes, and consistent with the validation."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
import yaml

from multirouter.config.discovery import discover_providers
from multirouter.config.schema import FILE, make_schema, schema_text
from tests.config.test_settings import FOUR_PROVIDERS


def test_schema_file_is_up_to_date() -> None:
    """After a change, `schema.FILE.write_text(schema.schema_text())` updates the file."""
    assert FILE.read_text(encoding="utf-8") == schema_text()


def test_schema_is_valid() -> None:
    """The schema is valid under the draft that it names."""
    jsonschema.Draft202012Validator.check_schema(make_schema())


def valid(data: Any) -> bool:
    """Whether data is valid under the schema."""
    return jsonschema.Draft202012Validator(make_schema()).is_valid(data)


def test_valid_data() -> None:
    """References are valid in place of numbers, and a single value in place of a list of one."""
    assert valid(yaml.safe_load(FOUR_PROVIDERS.replace("on:", '"on":')))
    assert valid(discover_providers({}))
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
def test_invalid_data(data: dict[str, Any]) -> None:
    """Invalid settings are invalid under the schema, so that editors mark them."""
    assert not valid(data)


def test_every_setting_has_a_description() -> None:
    """Every setting has a description."""
    missing = [
        f"{name}.{setting}"
        for name, section in make_schema()["$defs"].items()
        for setting, shape in section.get("properties", {}).items()
        if "description" not in shape
    ]
    assert missing == []
