"""Sessions of agents: their headers keep a conversation at one provider."""

from __future__ import annotations

import pytest

from multirouter import Route, Sticky
from multirouter.gateway.routing.sessions import MAX_SESSION, session_of
from tests.gateway.harness import running_gateway

pytestmark = [pytest.mark.backends("asyncio")]


@pytest.mark.parametrize(
    ("headers", "session"),
    [
        ({"session_id": "s"}, "s"),
        ({"X-Claude-Code-Session-Id": "s"}, "s"),
        ({"x-invented-agent-conversation-id": "s"}, "s"),
        ({"Thread-ID": "s"}, "s"),
        ({"sessionid": "s"}, "s"),
        ({"X-Parent-Session-Id": "p", "X-Session-Id": "s"}, "s"),
        ({"session-id": "", "thread-id": "t"}, "t"),
        ({"X-Request-Id": "r", "X-Obsession-Id": "o", "Session-Idle": "i"}, ""),
        ({"session-id": "s" * 300}, "s" * MAX_SESSION),
    ],
)
def test_headers_that_name_a_session(headers: dict[str, str], session: str) -> None:
    """The last words of the name decide, whichever agent it belongs to."""
    assert session_of(headers) == session


@pytest.mark.parametrize("streaming", [False, True])
async def test_a_session_keeps_its_provider(*, streaming: bool) -> None:
    """With every message; different sessions with the same message are spread."""
    chosen: dict[str, set[str]] = {}
    async with running_gateway([], [], []) as harness:
        harness.router.reconfigure(
            harness.router.providers,
            routes=[Route("main", [["first", "second", "third"]], strategy=Sticky())],
        )
        for session in map(str, range(12)):
            for text in ("first", "second", "third"):
                answer = await harness.send(
                    headers={"X-Invented-Session-Id": session},
                    messages=[{"role": "user", "content": text}],
                    stream=streaming,
                )
                chosen.setdefault(session, set()).add(answer.headers["X-Provider"])
    assert all(len(providers) == 1 for providers in chosen.values())
    assert len(set.union(*chosen.values())) == 3
