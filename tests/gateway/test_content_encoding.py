"""Decoding of compressed bodies: every encoding, bounded in size, members and work."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable
from functools import cache

import brotli
import pytest

from multirouter.gateway.http import content_encoding
from multirouter.gateway.http.content_encoding import Malformed, TooLarge, decode
from multirouter.gateway.http.server_limits import ServerLimits
from tests.gateway.harness import running_gateway

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

TEXT = b"a body of some words, " * 10_000


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return stream.compress(data) + stream.flush()


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without a header": ("deflate", raw_deflate),
    "zstd": ("zstd", zstd.compress),
    "br": ("br", brotli.compress),
}
every_encoding = pytest.mark.parametrize(
    ("encoding", "encode"), ENCODERS.values(), ids=ENCODERS.keys()
)


@cache
def bomb(encode: Callable[[bytes], bytes]) -> bytes:
    """20 MB of zeros, compressed to at most 20 kB."""
    return encode(bytes(2 * 10**7))


@every_encoding
def test_body_is_decoded(encoding: str, encode: Callable[[bytes], bytes]) -> None:
    """A body of exactly the limit, or longer than one part, is decoded whole."""
    assert decode(encode(TEXT), encoding, len(TEXT)) == TEXT
    long = bytes(5 * 2**20)
    assert decode(encode(long), encoding, len(long)) == long
    assert decode(encode(b""), encoding, 10) == b""


@every_encoding
def test_larger_body_is_rejected(encoding: str, encode: Callable[[bytes], bytes]) -> None:
    """One byte above the limit is too much, and a bomb is not inflated."""
    with pytest.raises(TooLarge):
        decode(encode(TEXT), encoding, len(TEXT) - 1)
    with pytest.raises(TooLarge):
        decode(bomb(encode), encoding, 10**6)


@every_encoding
def test_broken_body_is_malformed(encoding: str, encode: Callable[[bytes], bytes]) -> None:
    """Bodies that are cut off, empty or something else are malformed."""
    whole = encode(TEXT)
    for data in (whole[: len(whole) // 2], whole[:-1], b"", b"\xff no encoding \xff"):
        with pytest.raises(Malformed):
            decode(data, encoding, 10**6)


@pytest.mark.parametrize("name", ["gzip", "zstd"])
def test_members_are_bounded(name: str) -> None:
    """A body may consist of several members, but not of thousands."""
    encoding, encode = ENCODERS[name]
    assert decode(encode(b"a") + encode(b"b"), encoding, 10) == b"ab"
    with pytest.raises(Malformed, match="more than 64 parts"):
        decode(encode(b"a") * 65, encoding, 10**6)


def test_encoding_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """An encoding whose library, or its parent package, is missing is not offered."""
    assert content_encoding.supported() == ("gzip", "deflate", "zstd", "br")
    missing = {
        "zstd": (None, "no_such_parent.zstd"),
        "br": (None, "no_such_module"),
    }
    monkeypatch.setattr(content_encoding, "_DECODERS", content_encoding._DECODERS | missing)
    assert content_encoding.supported() == ("gzip", "deflate")


@pytest.mark.backends("asyncio")
@every_encoding
async def test_request_is_read(encoding: str, encode: Callable[[bytes], bytes]) -> None:
    """The gateway reads each encoding; it rejects invented ones by name, with those it can read."""
    body = b'{"model": "main", "messages": [{"role": "user", "content": "hello"}]}'
    async with running_gateway(limits=ServerLimits(max_body_size=10**6)) as harness:
        path, headers = "/v1/chat/completions", {"Content-Encoding": encoding}
        assert (await harness.post(path, encode(body), headers)).status == 200
        assert (await harness.post(path, bomb(encode), headers)).status == 413
        invented = await harness.post(path, body, {"Content-Encoding": "sqz-9"})
    assert invented.status == 415
    assert invented.headers["Accept-Encoding"] == "gzip, deflate, zstd, br"
    assert "sqz-9" in invented.json["error"]["message"]
