"""A call on the route '' (of an unset variable) raises instead of using the default route."""

from __future__ import annotations

import pytest

from multirouter.errors import UsageError
from tests.core.kit import World, provider


@pytest.mark.parametrize("streaming", [True, False])
def test_an_empty_route_name_is_unknown(streaming: bool) -> None:
    """Only a call that names no route uses the default route."""
    world = World([provider("a")])
    assert world.registry.route(None).name == "default"
    with pytest.raises(UsageError, match="unknown route ''"):
        world.registry.route("", streaming=streaming)
