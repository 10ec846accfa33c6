"""The Vercel AI SDK against the running gateway, in all four formats that it speaks.

Runs where node (18 or later) and npm are; what `vercel/package.json` names is installed once,
into `build/`, and used again until it changes.
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
from tests.gateway.kit import PROMPT, SAID, Place, standing

NODE, NPM = shutil.which("node"), shutil.which("npm")
HERE = Path(__file__).parent / "vercel"
PATIENCE = 45.0
"""Seconds for the installation: less than a test may take."""

pytestmark = [
    pytest.mark.real_io,
    pytest.mark.backends("asyncio"),
    pytest.mark.clients,
    pytest.mark.skipif(NODE is None or NPM is None, reason="the Vercel AI SDK needs node and npm"),
]


@pytest.fixture(scope="module")
def script(pytestconfig: pytest.Config) -> Path:
    """The script, beside the packages that it needs."""
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
    """Installs beside it and moves: what has the name is whole, whoever else installs too."""
    making = home.with_name(f"{home.name}.{os.getpid()}")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    shutil.copy(HERE / "package.json", making)
    command = [str(NPM), "install", "--no-package-lock", "--no-audit", "--no-fund"]
    try:
        done = subprocess.run(command, cwd=making, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        shutil.rmtree(making, ignore_errors=True)
        pytest.skip(f"npm did not install the Vercel AI SDK within {PATIENCE:g} s")
    if done.returncode:
        shutil.rmtree(making, ignore_errors=True)
        pytest.skip(f"npm cannot install the Vercel AI SDK: {done.stderr.strip()[-200:]}")
    try:
        making.rename(home)
    except OSError:  # another worker was faster
        shutil.rmtree(making, ignore_errors=True)


async def ask(script: Path, what: str, place: Place) -> dict[str, Any]:
    """What the script prints, by format."""
    process = await asyncio.create_subprocess_exec(
        *(str(NODE), str(script), what, place.url, PROMPT),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complaints = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, complaints.decode()
    told: dict[str, Any] = json.loads(said)
    assert list(told) == ["compatible", "openai", "anthropic", "google"]
    return told


async def test_whole_answers(script: Path) -> None:
    """Text, streams through a cut, tools and objects, as in front of the vendors themselves."""
    async with standing(["cut-after-3"], []) as place:
        told = await ask(script, "whole", place)
    for name, came in told.items():
        assert came["text"]["text"] == came["streamed"]["text"] == SAID, name
        assert came["text"]["finish"] == came["streamed"]["finish"] == "stop", name
        assert came["text"]["tokens"] == came["streamed"]["tokens"] > 0, name
        assert came["called"]["inputs"] == [{"city": "Zürich"}], name
        assert "rain in Zürich" in came["called"]["text"], name
        assert came["object"] == {"name": "Zürich"}, name


async def test_failures(script: Path) -> None:
    """A stream that breaks off is an error, and a request's own fault is not tried again."""
    circuit = CircuitPolicy(failures=100, minimum_calls=100)
    async with standing(["cut-after-3"], providers={"first": {"circuit": circuit}}) as place:
        told = await ask(script, "broken", place)
    for name, came in told.items():
        assert came["streamed"]["text"] != SAID, name
        assert came["streamed"]["errors"], name
        assert (came["refused"]["status"], came["refused"]["retryable"]) == (400, False), name
