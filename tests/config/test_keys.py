"""API keys: checks, revocation, limits, and the key file."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from multirouter import ConfigurationError, UsageError
from multirouter.config import KeyBook
from multirouter.config.client_keys.hashed_keys import KeyRecord, digest_of
from multirouter.config.client_keys.key_file import load_keys, save_keys
from multirouter.core.cost.budget import Budget
from tests.config.files import load_config

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_key_is_valid_until_revoked() -> None:
    """A key matches its own record; after revocation none, though the record stays."""
    book, anna = KeyBook().new("anna", now=AT, requests_per_minute=60)
    book, bert = book.new("bert", now=AT)
    found = book.check(anna)
    assert found is not None
    assert (found.name, found.requests_per_minute) == ("anna", 60)
    after = book.revoke("anna", now=AT)
    assert after.check(anna) is None
    assert after.check(bert) == book.check(bert) != None  # noqa: E711 - compares records
    assert [record.revoked for record in after.records] == ["2026-01-02T03:04:05+00:00", None]
    assert (book.active_count, after.active_count) == (2, 1)
    assert after.new("anna")[0].active_count == 2


def test_similar_strings_are_no_keys() -> None:
    """A part of a key, another case, the id, the digest and invalid text are not valid keys."""
    book, token = KeyBook().new("anna")
    digest = book.records[0].digest
    wrong = ["", token[:-1], token + "x", token.upper(), token.split("-")[1], digest, "0" * 64,
             f" {token}", "\udce4", token.removeprefix("mr-")]  # fmt: skip
    assert [book.check(one) for one in wrong] == [None] * len(wrong)


def test_unknown_key_is_rejected() -> None:
    """An unknown key does not match the digest that it is compared with."""
    assert KeyBook().check("anything") is None


def test_keys_are_unique() -> None:
    """Each key has 256 random bits and its own id."""
    tokens = {KeyBook().new("a")[1] for _ in range(100)}
    assert len(tokens) == len({token.split("-")[1] for token in tokens}) == 100
    assert all(len(token) >= 43 + len("mr-12345678-") for token in tokens)


def test_active_names_are_unique() -> None:
    """The name of an active key cannot be reused; an unknown name gets a suggestion."""
    book, _ = KeyBook().new("anna")
    with pytest.raises(UsageError, match="revoke it first"):
        book.new("anna")
    with pytest.raises(UsageError, match="did you mean 'anna'"):
        book.revoke("ana")
    assert book.revoke(book.records[0].id).active_count == 0


@pytest.mark.parametrize(
    "terms",
    [
        {"requests_per_minute": 0},
        {"tokens_per_minute": "many"},
        {"concurrent": 0},
        {"routes": ("",)},
        {"name": " a"},
        {"digest": "short"},
        {"id": None},
        {"admin": "no"},
        {"routes": "coding"},
        {"budget": 5},
        {"revoked": False},
    ],
)
def test_terms_are_checked(terms: dict[str, object]) -> None:
    """An invalid limit raises when the record is made."""
    with pytest.raises(ConfigurationError, match=f"KeyRecord.{next(iter(terms))}"):
        KeyRecord(**{"name": "a", "id": "b", "digest": digest_of("x"), **terms})


def test_routes_of_a_key_are_names_or_patterns() -> None:
    """A key may use the routes that match; without routes all."""
    book, token = KeyBook().new("a", routes=("coding", "chat-*"))
    record = book.check(token)
    assert record is not None
    assert [record.may_use(r) for r in ("coding", "chat-long", "chat", "x")] == [
        True, True, False, False]  # fmt: skip
    assert KeyBook().new("b")[0].records[0].may_use("anything")


def test_key_file_round_trip(tmp_path: Path) -> None:
    """A file keeps all limits, is readable by its owner only, and never contains a key."""
    book, token = KeyBook().new(
        "anna", now=AT, routes=("a",), concurrent=2, budget=Budget(5, "month"), admin=True
    )
    book, _ = book.new("bert", tokens_per_minute=10.0)
    path = tmp_path / "keys.json"
    save_keys(path, book.revoke("bert"))
    assert load_keys(path).records == book.revoke("bert").records[:1] + load_keys(path).records[1:]
    assert load_keys(path).check(token) == book.check(token)
    assert token not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["keys.json"]


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed write leaves the old file and no temporary file."""
    path = tmp_path / "keys.json"
    save_keys(path, KeyBook().new("anna")[0])
    before = path.read_text()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_keys(path, KeyBook())
    assert path.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == ["keys.json"]


def test_a_key_file_needs_its_folder(tmp_path: Path) -> None:
    """The error names the folder, and not a temporary file."""
    with pytest.raises(ConfigurationError, match=r"must be in a folder that exists, got .*none$"):
        save_keys(tmp_path / "none" / "keys.json", KeyBook())


RECORD = {"name": "a", "id": "b", "digest": digest_of("x")}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("[]", "must be an object"),
        ("{", "invalid JSON"),
        ('{"keys": {}}', 'a list "keys", got an object without such a list$'),
        ("null", 'a list "keys", got null$'),
        ('{"keys": [1]}', r"keys\[0\]: must be an object"),
        (json.dumps({"keys": [{**RECORD, "nmae": "x"}]}), "did you mean 'name'"),
        (json.dumps({"keys": [{"name": "a"}]}), r"keys\[0\]: requires id, digest"),
        (json.dumps({"keys": [RECORD, {**RECORD, "concurrent": 0}]}), r"keys\[1\].concurrent"),
        (json.dumps({"keys": [{**RECORD, "budget": {"usd": -1}}]}), r"keys\[0\].budget.usd"),
        (json.dumps({"keys": [{**RECORD, "budget": 5}]}), r"keys\[0\].budget: must be an object"),
        (json.dumps({"keys": [{**RECORD, "budget": {}}]}), r"keys\[0\].budget: requires usd"),
        (json.dumps({"keys": [{**RECORD, "budget": {"usd": 1, "by": "day"}}]}), "setting 'by'"),
        (json.dumps({"keys": [{**RECORD, "admin": "no"}]}), r"keys\[0\].admin: must be True or"),
        (json.dumps({"keys": [RECORD, {**RECORD, "id": "c"}]}), r"keys\[1\].name: must be unique"),
        (json.dumps({"keys": [RECORD, {**RECORD, "name": "b"}]}), "got 'b' as in keys\\[0\\]"),
    ],
)
def test_invalid_key_file(data: str, message: str, tmp_path: Path) -> None:
    """An invalid file raises an error with the number of the key and the setting."""
    path = tmp_path / "keys.json"
    path.write_text(data)
    with pytest.raises(ConfigurationError, match=message):
        load_keys(path)


@pytest.mark.parametrize("routes", ["coding", "", None, False, 0, {}])
def test_routes_in_a_key_file_must_be_a_list(routes: object, tmp_path: Path) -> None:
    """A key without routes may use all of them, so no other value may count as an empty list."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [{**RECORD, "routes": routes}]}))
    with pytest.raises(ConfigurationError, match=r"keys\[0\].routes: must be a list of names"):
        load_keys(path)


def test_a_revoked_key_may_share_its_name(tmp_path: Path) -> None:
    """Names and ids are unique among active keys only."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps({"keys": [{**RECORD, "revoked": "2026-01-01"}, RECORD]}))
    assert load_keys(path).active_count == 1


def test_configuration_reads_its_key_file(tmp_path: Path) -> None:
    """The path of the key file is relative to the configuration's folder."""
    book, token = KeyBook().new("anna")
    save_keys(tmp_path / "k.json", book)
    keys = load_config(tmp_path, "providers: {echo: {}}\nkeys: {file: k.json}").keys
    assert keys is not None
    assert keys.check(token) == book.check(token)
    assert repr(keys) == "<KeyBook of 1 keys>"
