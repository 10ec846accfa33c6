"""Keys: what opens, what does not, and what is written down of them."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from multirouter import ConfigurationError, UsageError
from multirouter.config import KeyBook
from multirouter.config.keyfile import read_keys, write_keys
from multirouter.config.keys import KeyRecord, digest_of
from multirouter.core.cost.budgets import Budget
from tests.config.files import loaded

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_key_opens_until_it_is_revoked() -> None:
    """Its own record and no other; afterwards nothing, though the record stays."""
    book, anna = KeyBook().new("anna", now=AT, requests_per_minute=60)
    book, bert = book.new("bert", now=AT)
    found = book.check(anna)
    assert found is not None
    assert (found.name, found.requests_per_minute) == ("anna", 60)
    after = book.revoke("anna", now=AT)
    assert after.check(anna) is None
    assert after.check(bert) == book.check(bert) != None  # noqa: E711 - a record is meant
    assert [record.revoked for record in after.records] == ["2026-01-02T03:04:05+00:00", None]
    assert (book.in_force, after.in_force) == (2, 1)
    assert after.new("anna")[0].in_force == 2


def test_what_is_nearly_a_key_opens_nothing() -> None:
    """Neither a part, nor another case, nor the id, nor the digest, nor bytes of another kind."""
    book, token = KeyBook().new("anna")
    digest = book.records[0].digest
    wrong = ["", token[:-1], token + "x", token.upper(), token.split("-")[1], digest, "0" * 64,
             f" {token}", "\udce4", token.removeprefix("mr-")]  # fmt: skip
    assert [book.check(one) for one in wrong] == [None] * len(wrong)


def test_the_digest_of_nobody_is_no_key() -> None:
    """What unknown ids are compared with opens nothing, and every check compares once."""
    assert KeyBook().check("anything") is None


def test_keys_are_unlike_each_other() -> None:
    """256 bits of chance and an id of their own."""
    tokens = {KeyBook().new("a")[1] for _ in range(100)}
    assert len(tokens) == len({token.split("-")[1] for token in tokens}) == 100
    assert all(len(token) >= 43 + len("mr-12345678-") for token in tokens)


def test_names_are_taken_once_and_near_misses_told() -> None:
    """A name in force is not given again; an unknown one is told with what comes near."""
    book, _ = KeyBook().new("anna")
    with pytest.raises(UsageError, match="revoke it first"):
        book.new("anna")
    with pytest.raises(UsageError, match="did you mean 'anna'"):
        book.revoke("ana")
    assert book.revoke(book.records[0].id).in_force == 0


@pytest.mark.parametrize(
    "terms",
    [
        {"requests_per_minute": 0},
        {"tokens_per_minute": "many"},
        {"concurrent": 0},
        {"routes": ("",)},
        {"name": " a"},
        {"digest": "short"},
    ],
)
def test_terms_are_checked(terms: dict[str, object]) -> None:
    """A limit that cannot be one is refused where the record is made."""
    with pytest.raises(ConfigurationError, match=f"KeyRecord.{next(iter(terms))}"):
        KeyRecord(**{"name": "a", "id": "b", "digest": digest_of("x"), **terms})


def test_routes_may_be_named_and_patterned() -> None:
    """None named opens all."""
    book, token = KeyBook().new("a", routes=("coding", "chat-*"))
    record = book.check(token)
    assert record is not None
    assert [record.may_use(r) for r in ("coding", "chat-long", "chat", "x")] == [
        True, True, False, False]  # fmt: skip
    assert KeyBook().new("b")[0].records[0].may_use("anything")


def test_a_file_brings_back_what_was_written(tmp_path: Path) -> None:
    """All terms, for the owner's eyes alone, and never a key."""
    book, token = KeyBook().new(
        "anna", now=AT, routes=("a",), concurrent=2, budget=Budget(5, "month"), admin=True
    )
    book, _ = book.new("bert", tokens_per_minute=10.0)
    path = tmp_path / "keys.json"
    write_keys(path, book.revoke("bert"))
    assert read_keys(path).records == book.revoke("bert").records[:1] + read_keys(path).records[1:]
    assert read_keys(path).check(token) == book.check(token)
    assert token not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["keys.json"]


def test_a_write_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing beside it."""
    path = tmp_path / "keys.json"
    write_keys(path, KeyBook().new("anna")[0])
    before = path.read_text()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_keys(path, KeyBook())
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["keys.json"]


RECORD = {"name": "a", "id": "b", "digest": digest_of("x")}


@pytest.mark.parametrize(
    ("hold_changed", "said"),
    [
        ("[]", "must hold an object"),
        ("{", "is no JSON"),
        ('{"keys": {}}', "must hold an object with a list"),
        ('{"keys": [1]}', r"keys\[0\]: must be an object"),
        (json.dumps({"keys": [{**RECORD, "nmae": "x"}]}), "did you mean 'name'"),
        (json.dumps({"keys": [{"name": "a"}]}), r"keys\[0\].*missing"),
        (json.dumps({"keys": [RECORD, {**RECORD, "concurrent": 0}]}), r"keys\[1\].concurrent"),
        (json.dumps({"keys": [{**RECORD, "budget": {"usd": -1}}]}), r"keys\[0\].usd"),
    ],
)
def test_what_is_no_file_of_keys(hold_changed: str, said: str, tmp_path: Path) -> None:
    """It is refused as a whole, by number and setting."""
    path = tmp_path / "keys.json"
    path.write_text(hold_changed)
    with pytest.raises(ConfigurationError, match=said):
        read_keys(path)


def test_a_configuration_reads_its_keys(tmp_path: Path) -> None:
    """From a path that begins in its folder."""
    book, token = KeyBook().new("anna")
    write_keys(tmp_path / "k.json", book)
    keys = loaded(tmp_path, "providers: {echo: {}}\nkeys: {file: k.json}").keys
    assert keys is not None
    assert keys.check(token) == book.check(token)
    assert repr(keys) == "<KeyBook of 1 keys>"
