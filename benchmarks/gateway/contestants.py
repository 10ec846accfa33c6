"""The compared gateways: the bare proxy, our gateway, and the peers that are installed."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Self

from benchmarks.gateway.load import Target
from benchmarks.gateway.processes import python
from benchmarks.gateway.wire import CHAT, question, with_turns

GATEWAY_CONFIG = """\
providers:
  up: {{kind: openai, base_url: "http://127.0.0.1:{upstream}/v1", api_key: sk-benchmark, model: m}}
routes:
  m: {{tiers: [up]}}
keys: {{file: keys.json}}
"""
LITELLM = """\
model_list:
  - model_name: m
    litellm_params: {{model: openai/m, api_base: "http://127.0.0.1:{upstream}/v1", api_key: sk-1}}
general_settings: {{master_key: sk-benchmark}}
"""
TENSORZERO = """\
[gateway]
observability.enabled = false
[models.m]
routing = ["up"]
[models.m.providers.up]
type = "openai"
api_base = "http://127.0.0.1:{upstream}/v1/"
model_name = "m"
api_key_location = "none"
"""
TENSORZERO_MAIN = """\
import pathlib, sys, time, tensorzero
served = tensorzero._start_http_gateway(
    config_file=sys.argv[1],
    clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=False,
)
pathlib.Path(sys.argv[2]).write_text(served.base_url.split(":")[2].split("/")[0])
time.sleep(1e6)
"""
"""The Python package contains the whole gateway, and starts it on a port that it chooses."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One gateway: how to start it and how to send requests to it.

    Attributes:
        name: its name in the table.
        command: the program with its arguments.
        port: the port it listens on, or the file to which it writes it.
        body: of each request.
        headers: of each request.
        path: of each request.
        environment: additional environment variables of its process.
    """

    name: str
    command: tuple[str, ...]
    port: int | Path
    body: bytes = question()
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = CHAT
    environment: Mapping[str, str] = field(default_factory=dict)

    def with_turns(self, turns: int) -> Self:
        """The same with a conversation of as many turns in each request; 0 for the question."""
        return replace(self, body=with_turns(self.body, turns)) if turns else self

    def target(self) -> Target | None:
        """The target of a load; None until the port is known."""
        if isinstance(self.port, int):
            return Target(self.port, self.body, dict(self.headers), self.path)
        text = self.port.read_text() if self.port.exists() else ""
        return Target(int(text), self.body, dict(self.headers), self.path) if text else None


@dataclass(frozen=True, slots=True)
class Place:
    """The environment of a contestant: the upstream's port, its own port, and a folder."""

    upstream: int
    port: int
    folder: Path

    def file(self, name: str, text: str) -> str:
        """Writes a file and returns its path."""
        path = self.folder / name
        path.write_text(text)
        return str(path)


def floor(place: Place) -> Contestant:
    """The bare proxy."""
    url = f"http://127.0.0.1:{place.upstream}{CHAT}"
    command = python("benchmarks.gateway.floor", str(place.port), url)
    return Contestant("bare proxy", command, place.port)


def our_gateway(place: Place, workers: int = 1, name: str = "gateway") -> Contestant:
    """Our gateway, with a key to check, metrics, trail and access log on."""
    file, token = with_key(place, GATEWAY_CONFIG.format(upstream=place.upstream))
    command = (sys.executable, "-m", "multirouter", "serve", file, "--port", str(place.port))
    headers = {"Authorization": f"Bearer {token}"}
    return Contestant(name, (*command, "--workers", str(workers)), place.port, headers=headers)


def with_key(place: Place, config: str) -> tuple[str, str]:
    """Writes a gateway configuration and its `keys.json`; returns the file and the only key."""
    from multirouter.config.client_keys.hashed_keys import KeyBook
    from multirouter.config.client_keys.key_file import save_keys

    book, token = KeyBook().new("benchmark")
    save_keys(place.folder / "keys.json", book)
    return place.file("gateway.yaml", config), token


def litellm(place: Place, program: str) -> Contestant:
    """The proxy of litellm: one worker and one key, prices from the package, otherwise defaults."""
    file = place.file("litellm.yaml", LITELLM.format(upstream=place.upstream))
    address = ("--host", "127.0.0.1", "--port", str(place.port))
    return Contestant(
        "litellm proxy",
        (program, "--config", file, *address, "--num_workers", "1"),
        place.port,
        headers={"Authorization": "Bearer sk-benchmark"},
        environment={"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    )


def portkey(place: Place, program: str) -> Contestant:
    """Portkey's gateway on Node: each request names the provider, and no key is checked."""
    return Contestant(
        "Portkey",
        ("node", str(Path(program).resolve()), f"--port={place.port}", "--headless"),
        place.port,
        headers={
            "Authorization": "Bearer sk-benchmark",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://127.0.0.1:{place.upstream}/v1",
        },
    )


def tensorzero(place: Place, program: str) -> Contestant:
    """TensorZero's HTTP gateway, in Rust, on as many threads as there are processors; no key."""
    file = place.file("tensorzero.toml", TENSORZERO.format(upstream=place.upstream))
    port_file = place.folder / "tensorzero.port"
    return Contestant(
        "TensorZero",
        (program, "-c", TENSORZERO_MAIN, file, str(port_file)),
        port_file,
        body=question("tensorzero::model_name::m"),
        path="/openai/v1/chat/completions",
    )


PEERS = {"litellm": litellm, "portkey": portkey, "tensorzero": tensorzero}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds options for the locations of peers."""
    parser.add_argument("--litellm", metavar="PROGRAM", help="its `litellm` (that on PATH)")
    parser.add_argument(
        "--portkey", metavar="FILE", help="build/start-server.js of @portkey-ai/gateway"
    )
    parser.add_argument(
        "--tensorzero", metavar="PYTHON", help="a Python that has tensorzero (this one)"
    )


def programs(options: argparse.Namespace) -> dict[str, str]:
    """The program of each installed peer."""
    here = sys.executable if find_spec("tensorzero") else None
    found = {
        "litellm": options.litellm or shutil.which("litellm"),
        "portkey": options.portkey,
        "tensorzero": options.tensorzero or here,
    }
    return {name: program for name, program in found.items() if program}


def all_of(places: Iterator[Place], found: Mapping[str, str], workers: int) -> Iterator[Contestant]:
    """The contestants, each in its own place; the first is the base of the ratios."""
    yield floor(next(places))
    yield our_gateway(next(places))
    if workers > 1:
        yield our_gateway(next(places), workers, f"gateway, {workers} workers")
    for name, program in found.items():
        yield PEERS[name](next(places), program)
