"""The Vercel AI SDK against a running gateway, in all four formats that it supports.

Needs node (18 or later) and npm. The packages of `vercel/package.json` are installed once, into
`build/`, and used until that file changes.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from multirouter import CircuitPolicy
from tests.gateway.harness import PROMPT, REPLY, Harness, running_gateway

NODE, NPM = shutil.which("node"), shutil.which("npm")
HERE = Path(__file__).parent / "vercel"
INSTALL_TIMEOUT = 45.0
"""Seconds; less than the timeout of a test."""

pytestmark = [
    pytest.mark.real_io,
    pytest.mark.backends("asyncio"),
    pytest.mark.clients,
    pytest.mark.skipif(NODE is None or NPM is None, reason="the Vercel AI SDK needs node and npm"),
]


@pytest.fixture(scope="module")
def script(pytestconfig: pytest.Config) -> Path:
    """The script, in the folder of the packages that it needs."""
    version = subprocess.run([str(NODE), "--version"], capture_output=True, text=True).stdout
    if int(version.strip().removeprefix("v").partition(".")[0] or 0) < 18:
        pytest.skip(f"the Vercel AI SDK needs node 18 or later, and this is {version.strip()}")
    package = (HERE / "package.json").read_bytes()
    home = pytestconfig.rootpath / "build" / f"vercel-{hashlib.sha256(package).hexdigest()[:12]}"
    if not home.exists():
        _install(home)
    shutil.copy(HERE / "ask.mjs", home)
    return home / "ask.mjs"


def _install(home: Path) -> None:
    """Installs into a temporary folder and renames it, so that `home` is always complete."""
    temporary = home.with_name(f"{home.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    shutil.copy(HERE / "package.json", temporary)
    command = [str(NPM), "install", "--no-package-lock", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(
            command, cwd=temporary, capture_output=True, text=True, timeout=INSTALL_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        shutil.rmtree(temporary, ignore_errors=True)
        pytest.skip(f"npm did not install the Vercel AI SDK within {INSTALL_TIMEOUT:g} s")
    if done.returncode:
        shutil.rmtree(temporary, ignore_errors=True)
        pytest.skip(f"npm cannot install the Vercel AI SDK: {done.stderr.strip()[-200:]}")
    try:
        temporary.rename(home)
    except OSError:  # another worker was faster
        shutil.rmtree(temporary, ignore_errors=True)


async def run_script(script: Path, scenario: str, harness: Harness) -> dict[str, Any]:
    """The script's output, by format."""
    process = await asyncio.create_subprocess_exec(
        *(str(NODE), str(script), scenario, harness.url, PROMPT),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, stderr.decode()
    results: dict[str, Any] = json.loads(stdout)
    assert list(results) == ["compatible", "openai", "anthropic", "google"]
    return results


async def test_whole_answers(script: Path) -> None:
    """Text, streams through a cut, tools and objects work as with the vendors themselves."""
    async with running_gateway(["cut-after-3"], []) as harness:
        results = await run_script(script, "whole", harness)
    for name, result in results.items():
        assert result["text"]["text"] == result["streamed"]["text"] == REPLY, name
        assert result["text"]["finish"] == result["streamed"]["finish"] == "stop", name
        assert result["text"]["tokens"] == result["streamed"]["tokens"] > 0, name
        assert result["called"]["inputs"] == [{"city": "Zürich"}], name
        assert "rain in Zürich" in result["called"]["text"], name
        assert result["object"] == {"name": "Zürich"}, name


async def test_failures(script: Path) -> None:
    """A broken stream is an error, and an invalid request is not retried."""
    circuit = CircuitPolicy(failures=100, minimum_calls=100)
    async with running_gateway(
        ["cut-after-3"], providers={"first": {"circuit": circuit}}
    ) as harness:
        results = await run_script(script, "broken", harness)
    for name, result in results.items():
        assert result["streamed"]["text"] != REPLY, name
        assert result["streamed"]["errors"], name
        assert (result["rejected"]["status"], result["rejected"]["retryable"]) == (400, False), name
