"""The benchmark of imports in its quick form."""

from __future__ import annotations

import json

import pytest

from benchmarks import imports


def test_each_import_is_timed_beside_the_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every contestant has its milliseconds and its ratio to the first, as data and as a table."""
    monkeypatch.setattr(imports, "CONTESTANTS", {"json": "import json", "nothing": "pass"})
    assert imports.main(["--quick", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["imports"]
    assert found["json"]["ms"] > found["nothing"]["ms"] >= 0.0
    assert (found["json"]["times_the_first"], found["nothing"]["times_the_first"] < 1) == (1, True)
    assert imports.main(["--quick"]) == 0
    assert "times the first" in capsys.readouterr().out
