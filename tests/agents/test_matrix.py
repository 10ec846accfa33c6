"""Real agents against the gateway in front of fakes: agent x upstream format x task, and faults.

They need the programs: `npm install` in a copy of this folder's `package.json`, and the variable
`MULTIROUTER_AGENTS` with the path of its `node_modules`. `.ci/run` does so, and runs them in a
network namespace that has the loopback interface alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.agents.harness import UPSTREAMS, run_agent
from tests.agents.programs import AGENTS, CODEX_BY_WEBSOCKET, VARIABLE, Agent
from tests.agents.tasks import TASKS, Task

FAULTS = {
    "overloaded": {"": ["fail-503"]},
    "rate limited": {"": ["rate-limit"]},
    "cut in a tool call": {"": ["cut-after-3"], "gemini": ["cut-after-1"]},
    "hanging": {"": ["stall"]},
}
"""The faults of the first service for its first request; by format where formats differ."""

pytestmark = [
    pytest.mark.real_io,
    pytest.mark.backends("asyncio"),
    pytest.mark.timeout(150),
]


@pytest.fixture(params=AGENTS, ids=lambda agent: agent.name)
def agent(request: pytest.FixtureRequest) -> Agent:
    """Each agent whose program is installed."""
    found: Agent = request.param
    if found.program is None:
        pytest.skip(f"the program `{found.name}` is not in {VARIABLE}, which .ci/run sets")
    return found


@pytest.fixture(params=UPSTREAMS)
def upstream(request: pytest.FixtureRequest) -> str:
    """Each format of a service."""
    return str(request.param)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
async def test_task(agent: Agent, upstream: str, task: Task, tmp_path: Path) -> None:
    """An agent does each task with a service of any format."""
    run = await run_agent(agent, task, [upstream], tmp_path)
    assert run.done(task), str(run)


@pytest.mark.parametrize("fault", FAULTS)
async def test_fault(agent: Agent, upstream: str, fault: str, tmp_path: Path) -> None:
    """An agent does a task although the first service fails: another one answers."""
    by_format = FAULTS[fault]
    faults = [by_format.get(upstream, by_format[""]), []]
    run = await run_agent(agent, TASKS[1], [upstream, upstream], tmp_path, faults)
    assert run.done(TASKS[1]), str(run)


async def test_codex_by_websocket(upstream: str, tmp_path: Path) -> None:
    """Its turns go over one connection: several responses, and no request over HTTP."""
    if CODEX_BY_WEBSOCKET.program is None:
        pytest.skip(f"the program `codex` is not in {VARIABLE}, which .ci/run sets")
    run = await run_agent(CODEX_BY_WEBSOCKET, TASKS[1], [upstream], tmp_path)
    assert run.done(TASKS[1]), str(run)
    answered = [line for line in run.errors.splitlines() if "/v1/responses" in line]
    assert len(answered) > 1
    assert not any("'method': 'POST'" in line for line in answered), str(run)
