"""Messages for invalid settings: each mistake as the user writes it, with the error it raises."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from prometheus_client import CollectorRegistry

import multirouter
import multirouter.providers
import multirouter.testing
from multirouter.core import function_checks as hooks
from multirouter.core import validation
from multirouter.core.routes import unique_names
from tests.messages.normalize import normalized


async def call(request: object) -> object:
    return request


async def stream(request: object) -> Any:
    yield request


def plain(request: str) -> str:
    return request


NAMES: dict[str, Any] = {
    name: getattr(module, name)
    for module in (multirouter, multirouter.providers, multirouter.testing)
    for name in module.__all__
} | {
    "ADHOC": unique_names.ADHOC,
    "MultiProviderRouter": functools.partial(
        multirouter.MultiProviderRouter, registry=CollectorRegistry()
    ),
    "a": multirouter.Provider("a", call),
    "b": multirouter.Provider("b", call),
    "call": call,
    "check": validation,
    "hooks": hooks,
    "inf": math.inf,
    "nan": math.nan,
    "plain": plain,
    "rule": multirouter.RULES[multirouter.FailureKind.SERVER],
    "stream": stream,
}
"""What the mistakes may name: the public names, two providers, and functions of each kind."""

HELPERS = """
check.number("timeout", "30")
check.number("timeout", True)
check.number("timeout", nan, minimum=0)
check.number("timeout", 10**400, minimum=0)
check.number("timeout", -1, minimum=0, maximum=1e9, unit="seconds")
check.number("factor", 1, above=1, allow_inf=True)
check.duration("timeout", 0)
check.duration("timeout", 1e10, allow_inf=True)
check.rate("requests_per_minute", 0)
check.weight("weight", -1)
check.weight("weight", 1e-12)
check.share("panic", 50)
check.count("attempts", 0)
check.count("attempts", 2.5, minimum=0)
check.count("concurrency", 500, maximum=200)
check.seconds("wait", -1)
check.flag("learn", "yes")
check.one_of("on_interrupt", "stop", ["raise", "continue"])
check.objects("providers", 3, "Provider objects")
check.name("name", "")
check.name("name", " a")
check.name("name", 3)
check.instance("retry", 3, RetryPolicy)
hooks.plain_function("classify", 3)
hooks.plain_function("classify", call)
hooks.plain_function("classify", plain, "error", "value")
hooks.accept_function("accept", 3)
hooks.accept_function("accept", call)
hooks.fallback_function("fallback", stream)
hooks.fallback_function("fallback", plain)
hooks.either_function("fallback", 3)
hooks.either_function("fallback", stream)
hooks.async_function("call", 3)
hooks.async_function("call", plain, "request")
hooks.async_function("call", stream, "request")
hooks.async_function("health_check", call)
hooks.stream_function("stream", 3)
hooks.stream_function("stream", call, "request")
hooks.stream_function("stream", stream)
"""

PROVIDERS = """
Provider("", call)
Provider("a")
Provider("a", "openai")
Provider("a", plain)
Provider("a", stream)
Provider("a", stream=call)
Provider("a", stream=3)
Provider("a", call, weight=-1)
Provider("a", call, attempt_timeout=0)
Provider("a", call, circuit=3)
Provider("a", call, limits=3)
Provider("a", call, domains="openai")
Provider("a", call, tags=[""])
Provider("a", call, tags=3)
Provider("a", call, context_window=0)
Provider("a", call, max_output=1.5)
Provider("a", call, quality=inf)
Provider("a", call, transform=call)
Provider("a", call, health_check=plain)
Provider("a", call, aclose=3)
Provider("a", call, price=3)
Provider("a", call, usage=call)
Provider("a", call, budget=Budget(10))
Provider("a", call, budget=10, price=Price(1, 2))
Provider("a", call, budget=[Budget(10), Budget(20)], price=Price(1, 2))
Provider("a", call).replace(wieght=1)
Price(-1, 2)
Budget(0)
Budget(10, "week")
Budget(10, zone="UTC")
Budget(10, warn_at=2)
"""

ROUTES = """
Route("", ["a"])
Route("chat", "a")
Route("chat", [])
Route("chat", ["a", []])
Route("chat", ["a", "a"])
Route("chat", ["a", 3])
Route("chat", ["a"], timeout=0)
Route("chat", ["a"], retry=3)
Route("chat", ["a"], retries_per_provider=-1)
Route("chat", ["a"], weights=[1])
Route("chat", ["a"], weights={"a": -1})
Route("chat", ["a"], strategy="cheapist")
Route("chat", ["a"], strategy=3)
Route("chat", ["a", "b"], strategy=["balanced"])
Route("chat", ["a"], on="timeout")
Route("chat", ["a"], on=["time_out"])
Route("chat", ["a"], on=[42])
Route("chat", ["a"], rules={"time_out": rule})
Route("chat", ["a"], rules={"timeout": 3})
Route("chat", ["a"], rules={"success": rule})
Route("chat", ["a"], rules=3)
Rule(retry="never", failover=3, circuit="neutral", side_effects_possible=False)
Route("chat", ["a"], accept=3)
Route("chat", ["a"], transform=3)
by_length({})
by_length({-1: "chat"})
Sticky(3)
"""

ROUTERS = """
MultiProviderRouter(a)
MultiProviderRouter([3])
MultiProviderRouter([a, a])
MultiProviderRouter([Provider("a", call, weight=0)])
MultiProviderRouter([a], name="")
MultiProviderRouter([a], routes=["chat"])
MultiProviderRouter([a], routes=[Route("chat", ["a"]), Route("chat", ["a"])])
MultiProviderRouter([a], routes=[Route(ADHOC, ["a"])])
MultiProviderRouter([a], routes=[Route("chat", ["aa"])])
MultiProviderRouter([a], routes=[Route("chat", ["tag:cheap"])])
MultiProviderRouter([a], routes=[Route("chat", ["x*"])])
MultiProviderRouter([a], routes=[Route("chat", ["route:chta"])])
MultiProviderRouter([a], routes=[Route("chat", ["route:chat"])])
MultiProviderRouter([a, b], routes=[Route("chat", [["a", "route:x"]]), Route("x", ["b"])])
MultiProviderRouter([a], routes=[Route("chat", ["a"], weights={"b": 1})])
MultiProviderRouter([a], routes=[Route("chat", ["a"], budget=Budget(1))])
MultiProviderRouter([a], route=3)
MultiProviderRouter([a], unknown_route="chat")
MultiProviderRouter([a], route=by_length({1000: "chat"}))
MultiProviderRouter([a], requires=call)
MultiProviderRouter([a], timeout=0)
MultiProviderRouter([a], timeout="10")
MultiProviderRouter([a], hedge=0.5)
MultiProviderRouter([a], rules=[3])
MultiProviderRouter([a], classify=call)
MultiProviderRouter([a], accept={"type": "objekt"})
MultiProviderRouter([a], panic=2)
MultiProviderRouter([a], history=3)
MultiProviderRouter([a], history="FOLDER/no/history.db")
MultiProviderRouter([a], history="FOLDER")
MultiProviderRouter([a], history="FOLDER/text.db")
MultiProviderRouter([a], shadow=Shadow(["c"]))
MultiProviderRouter([a, Provider("s", stream=stream)], shadow=Shadow(["s"]))
MultiProviderRouter([a], alarms=[3])
MultiProviderRouter([a], alarms=[ProviderFailing(), ProviderFailing()])
MultiProviderRouter([a], listeners=3)
MultiProviderRouter([a], listeners=[3])
MultiProviderRouter([a], listeners=[Recorder])
MultiProviderRouter([a], registry=3)
MultiProviderRouter([a], exemplar=call)
MultiProviderRouter([a], rng=3)
MultiProviderRouter([a]).reconfigure([a], tiemout=3)
MultiProviderRouter([a]).add(a)
MultiProviderRouter([a]).remove("b")
MultiProviderRouter([a]).update("b", weight=1)
MultiProviderRouter([a]).update("a", wieght=1)
MultiProviderRouter([a]).hold("a", "opne")
MultiProviderRouter([a]).hold("b", "open")
MultiProviderRouter([a]).available("b")
MultiProviderRouter([a]).circuit_state("b")
MultiProviderRouter([a]).degraded("b")
MultiProviderRouter([a]).in_flight("b")
MultiProviderRouter([a]).explain("chat")
"""

POLICIES = """
RetryPolicy(attempts=0)
RetryPolicy(base=-1)
RetryPolicy(factor=0.5)
RetryPolicy(budget=20)
RetryPolicy(budget_floor=-1)
CircuitPolicy(failures=0)
CircuitPolicy(failure_rate=0)
CircuitPolicy(window=1e10)
CircuitPolicy(half_open_wait=-1)
CircuitPolicy(ramp=-1)
LatencyPolicy(floor=-1)
LatencyPolicy(percentile=99)
LatencyPolicy(slow_factor=1)
LimitPolicy(in_flight=0)
LimitPolicy(requests_per_minute=0)
LimitPolicy(tokens_per_minute=1000)
HedgePolicy(after=1, percentile=0.95)
HedgePolicy(after=-1)
HedgePolicy(max_in_flight=1)
StreamPolicy(first_token=0)
StreamPolicy(min_rate=0)
StreamPolicy(on_interrupt="contine")
StreamPolicy(on_divergence="stop")
StreamPolicy(text=3)
Shadow("a")
Shadow([])
Shadow(["a", "a"])
Shadow(["a"], share=2)
Shadow(["a"], compare=3)
"""

LISTENERS = """
Alarms([ProviderFailing(over=2)])
Alarms([ProviderFailing(over=0.2, clear=0.3)])
Alarms([CircuitOpen(longer_than=-1)])
Alarms([CostPerHour(over=-1)])
Alarms([CostUnusual(factor=0.5)])
Alarms([CostPerHour(over=1, cost=3)])
Alarms([ProviderFailing()], to="ops@example.com")
Webhook("example.com/hook")
History(3)
History("history.db", retention=-1)
json_schema({"type": "objekt"})
counted_tokens("no-such-encoding")
"""

ADAPTERS = """
OpenAI("gpt")
OpenAI("gpt", api_key=3)
OpenAI("gpt", api_key="sk two")
OpenAI("gpt", api_key="sk-1", base_url="api.openai.com")
OpenAI("gpt", api_key="sk-1", base_url="https://api.openai.com/v1?x=1")
OpenAI("gpt", api_key="sk-1", preset="depseek")
OpenAI("gpt", api_key="sk-1", model="")
Anthropic("claude", api_key="sk-1", thinking="yes")
Anthropic("claude", api_key="sk-1", max_tokens=0)
Gemini("gemini")
Http(proxy="proxy:3128")
Http(connect_timeout=0)
Http(max_body=0)
"""

TESTING = """
ScriptedProvider("a", script=[3])
ScriptedProvider("a", script=["erorr"])
Fault("hang", status=500)
Outage(0, inf, "slow", growing=True)
chaos(3)
chaos(call, faults=[])
chaos(call, faults=["erorr"])
chaos(call, seed=1, rng=1)
chaos(call, rate=2)
VirtualClock(backend="curio")
VirtualClock(backend="trio", shuffle_seed=1)
VirtualClock(backend="trio").new_loop()
LogNormal(0, 1)
Uniform(2, 1)
Recorder().of("circit_changed")
"""

TOPICS = {
    "Helpers that check settings (core/validation.py, core/function_checks.py)": HELPERS,
    "Providers, prices, budgets": PROVIDERS,
    "Routes": ROUTES,
    "The router": ROUTERS,
    "Policies": POLICIES,
    "History, alarms, checks of answers": LISTENERS,
    "Ready-made providers": ADAPTERS,
    "Tools for tests": TESTING,
}


def render(folder: Path) -> str:
    """Returns each mistake with its error.

    Args:
        folder: an empty folder, for paths of history files.
    """
    (folder / "text.db").write_text("not a database, but long enough to be read as one" * 10)
    with mock.patch.dict(os.environ):
        for name in [name for name in os.environ if name.endswith("_API_KEY")]:
            del os.environ[name]
        lines = [line for topic in TOPICS.items() for line in _topic(*topic, folder)]
    return "\n".join(lines) + "\n"


def _topic(heading: str, mistakes: str, folder: Path) -> Iterator[str]:
    yield f"## {heading}\n"
    for mistake in mistakes.strip().splitlines():
        yield mistake
        yield f"    {_error_of(mistake, folder)}"
    yield ""


def _error_of(mistake: str, folder: Path) -> str:
    try:
        eval(mistake.replace("FOLDER", str(folder)), dict(NAMES))
    except Exception as error:
        return normalized(f"{type(error).__name__}: {error}", folder)
    return "(no error)"
