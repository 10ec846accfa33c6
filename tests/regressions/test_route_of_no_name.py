"""A call on the route '' (of an unset variable) took the default route, and nobody knew."""

from __future__ import annotations

import pytest

from multirouter.errors import UsageError
from tests.core.kit import World, provider


@pytest.mark.parametrize("streaming", [True, False])
def test_it_is_unknown(streaming: bool) -> None:
    """Only a call that names none takes the default route."""
    world = World([provider("a")])
    assert world.roster.route(None).name == "default"
    with pytest.raises(UsageError, match="unknown route ''"):
        world.roster.route("", streaming=streaming)
