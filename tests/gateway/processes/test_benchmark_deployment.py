"""The deployment for benchmarks of gateways answers what such a benchmark sends."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.gateway.processes.serving import TIMEOUT, environment, get, url_of

pytestmark = pytest.mark.timeout(TIMEOUT)

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "benchmark"
SERVICES: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]


def test_compose_starts_what_the_image_has() -> None:
    """Image and file of settings exist, and the gateway's address is that of the upstream."""
    for service in SERVICES.values():
        build = service["build"]
        file = (FOLDER / build["context"] / build["dockerfile"]).resolve()
        assert file == ROOT / "deploy" / "Dockerfile"
    (mount,) = SERVICES["gateway"]["volumes"]
    source, target, mode = mount.split(":")
    assert ((FOLDER / source).resolve(), mode) == (FOLDER / "gateway.yaml", "ro")
    assert SERVICES["gateway"]["command"][:2] == ["serve", target]
    assert "http://upstream:8765/v1" in SERVICES["gateway"]["environment"]["UPSTREAM_URL"]


@pytest.mark.parametrize("model", ["gpt-4o-mini", "openai/gpt-4o-mini", "a-model-of-tomorrow"])
def test_any_model_is_answered(servers: str, model: str) -> None:
    """Any key is ignored; the model has the name of the provider in front of it, or has not."""
    question = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    status, text = get(f"{servers}/v1/chat/completions", question, "sk-ignored")
    assert (status, json.loads(text)["choices"][0]["message"]["content"]) == (
        200,
        "You said: Hello",
    )
    status, text = get(f"{servers}/v1/chat/completions", {**question, "stream": True})
    assert status == 200
    assert text.endswith("data: [DONE]\n\n")


def test_embeddings_and_health_are_answered(servers: str) -> None:
    """What benchmarks use beside chats: the embeddings, and a path that says it has started."""
    status, text = get(f"{servers}/v1/embeddings", {"model": "openai/embed", "input": "Hello"})
    assert (status, len(json.loads(text)["data"])) == (200, 1)
    assert get(f"{servers}/healthz")[0] == 200


@pytest.fixture(scope="module", name="servers")
def _servers() -> Generator[str]:
    """The URL of the gateway; both services run with the commands of the compose file."""
    with _started(*SERVICES["upstream"]["command"], "--port", "0") as upstream:
        assert upstream.stdout is not None
        address = upstream.stdout.readline().split()[2].removesuffix(",")
        serve, _, *options = SERVICES["gateway"]["command"]
        options[-1] = "1"  # in place of ${WORKERS:-1}
        arguments = (serve, str(FOLDER / "gateway.yaml"), *options, "--port", "0")
        with _started(*arguments, UPSTREAM_URL=address) as gateway:
            yield url_of(gateway)


@contextmanager
def _started(*arguments: str, **variables: str) -> Generator[subprocess.Popen[str]]:
    """A process of the program, on an address of this machine alone."""
    local = ["127.0.0.1" if argument == "0.0.0.0" else argument for argument in arguments]
    process = subprocess.Popen(
        [sys.executable, "-m", "multirouter", *local],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**environment(), **variables},
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()
