"""Logs: one event for each state change and failed call, without prompts and answers."""

from __future__ import annotations

import ast
import io
import logging
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import anyio
import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import CapturingLogger, LogCapture

from multirouter import MultiProviderRouter, Provider
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import (
    CircuitChanged,
    Configured,
    CooldownStarted,
    FailedOver,
    HoldChanged,
    PanicStarted,
    PriceMissing,
    RetryDenied,
    RouteDiverted,
)
from multirouter.core.listener import Listener
from multirouter.errors import (
    AllProvidersFailed,
    ConfigurationError,
    NoProviderAvailable,
    ProviderError,
)
from multirouter.listeners import logs as logs_module
from multirouter.listeners import sharing_log
from multirouter.listeners.log_repetition import LOGGED, MAX_KINDS, MINUTE, Repetitions
from multirouter.listeners.logs import DebugLogs, Logs, make_logs
from multirouter.model import FailureKind
from tests.listeners.helpers import PROMPT, attempt, call, dispatch, dispatch_call, handled_by

OPENED = CircuitChanged("default", "openai", "closed", "open", "failures", 1, 60.0, 5.0)
HALF_OPENED = CircuitChanged("default", "openai", "open", "half_open", "timer", 2, 0.0, 65.0)
CLOSED = CircuitChanged("default", "openai", "half_open", "closed", "recovered", 3, 0.0, 66.0)

EVENTS = {
    "circuit_changed": OPENED,
    "cooldown_started": CooldownStarted("default", "openai", 5.0, from_retry_after=True, at=0.0),
    "failed_over": FailedOver("default", "coding", "openai", "local", FailureKind.SERVER),
    "retry_denied": RetryDenied("default", "coding", "budget"),
    "hold_changed": HoldChanged("default", "openai", "disabled"),
    "configured": Configured("default", added=("fresh",), updated=("openai",)),
    "panic_started": PanicStarted("default", "coding"),
    "route_diverted": RouteDiverted(
        "default", "coding", True, "local", ("openai",), "openai open", 10.0, 25.0
    ),
}


@pytest.fixture(autouse=True)
def unconfigured():
    """Each test starts and ends with an unconfigured structlog."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def captured() -> LogCapture:
    """All events that pass a user's structlog configuration."""
    capture = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    return capture


@pytest.fixture
def failed():
    """A call that failed at two providers, with errors that contain the prompt and a key."""
    error = ProviderError(
        PROMPT, provider="openai", kind=FailureKind.SERVER, request_id="req_7" * 50
    )
    last = ConnectionError(PROMPT)
    attempts = (
        attempt("openai", FailureKind.SERVER, error=error, status=503),
        attempt("local", FailureKind.TRANSPORT, error=last),
    )
    ended = AllProvidersFailed(PROMPT, attempts=attempts, retry_after=4.0)
    return call("failure", *attempts, error=ended, seconds=1.23456)


def test_case_86_each_circuit_change_is_one_event(captured) -> None:
    """The event has provider, from, to, reason, generation, duration; opening is a warning."""
    logs = make_logs("default")
    for event in (OPENED, HALF_OPENED, CLOSED):
        dispatch(logs, "circuit_changed", event)
    assert captured.entries[0] == {
        "event": "circuit opened",
        "log_level": "warning",
        "router": "default",
        "provider": "openai",
        "from": "closed",
        "to": "open",
        "reason": "failures",
        "generation": 1,
        "open_duration": 60.0,
    }
    assert [entry["event"] for entry in captured.entries] == [
        "circuit opened",
        "circuit half-opened",
        "circuit closed",
    ]
    assert [entry["log_level"] for entry in captured.entries] == ["warning", "info", "info"]
    assert [entry["generation"] for entry in captured.entries] == [1, 2, 3]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cooldown_started", {"event": "cooldown started", "provider": "openai", "seconds": 5.0}),
        ("failed_over", {"from": "openai", "to": "local", "reason": "server", "route": "coding"}),
        ("retry_denied", {"event": "retry denied", "reason": "budget", "route": "coding"}),
        ("hold_changed", {"event": "hold set", "provider": "openai", "hold": "disabled"}),
        ("configured", {"added": ["fresh"], "updated": ["openai"]}),
        ("panic_started", {"event": "panic mode started", "route": "coding"}),
        (
            "route_diverted",
            {
                "event": "diversion began",
                "route": "coding",
                "first_choice": ["openai"],
                "provider": "local",
                "reason": "openai open",
            },
        ),
    ],
)
def test_each_event_is_logged_at_info(captured, name, expected) -> None:
    """Events that fail no call are logged once, at info, with their fields."""
    dispatch(make_logs("default"), name, EVENTS[name])
    (entry,) = captured.entries
    assert entry["log_level"] == "info"
    assert expected.items() <= entry.items()


def test_the_end_of_a_diversion_is_logged(captured) -> None:
    """With the seconds that it lasted."""
    event = EVENTS["route_diverted"]._replace(diverted=False, provider="openai", at=3610.0)
    dispatch(make_logs("default"), "route_diverted", event)
    (entry,) = captured.entries
    assert (entry["event"], entry["log_level"]) == ("diversion ended", "info")
    assert (entry["provider"], entry["seconds"]) == ("openai", 3600.0)


def test_a_missing_price_is_a_warning(captured) -> None:
    """Its cost is in no figure, so somewhere it must be said."""
    dispatch(make_logs("default"), "price_missing", PriceMissing("default", "openai", "gpt-5"))
    (entry,) = captured.entries
    assert (entry["event"], entry["log_level"]) == ("price missing", "warning")
    assert (entry["provider"], entry["model"]) == ("openai", "gpt-5")


def test_a_retry_denied_by_the_calls_limits_is_debug(captured) -> None:
    """A retry denied by the call's own limits is debug; a released hold is info."""
    logs = make_logs("default")
    dispatch(logs, "retry_denied", RetryDenied("default", "coding", "attempts"))
    dispatch(logs, "hold_changed", HoldChanged("default", "openai", None))
    assert [entry["log_level"] for entry in captured.entries] == ["debug", "info"]
    assert captured.entries[1]["event"] == "hold released"


def test_a_failed_call_is_one_error_with_its_trail(captured, failed) -> None:
    """The event has the attempts with kind and status, and the classes of the errors."""
    dispatch_call(Logs("default"), failed)
    (entry,) = captured.entries
    assert entry == {
        "event": "call failed",
        "log_level": "error",
        "router": "default",
        "route": "default",
        "outcome": "failure",
        "elapsed": 1.235,
        "attempts": ["openai: server 503", "local: transport"],
        "error": "AllProvidersFailed",
        "last_error": "ConnectionError",
        "retry_after": 4.0,
    }


def test_levels_of_failed_calls(captured) -> None:
    """Invalid requests and fallback answers are warnings; a cancelled call is debug."""
    logs = make_logs("default")
    invalid = attempt(kind=FailureKind.CONTEXT_LENGTH, error=ValueError(PROMPT))
    dispatch(logs, "call_failed", call("failure", invalid, error=invalid.error))
    dispatch(logs, "call_failed", call("fallback", attempt(kind=FailureKind.SERVER)))
    dispatch(logs, "call_failed", call("cancelled", attempt(kind=FailureKind.CANCELLED)))
    rejected = NoProviderAvailable("all out", states={"openai": PROMPT})
    dispatch(logs, "call_failed", call("rejected", error=rejected))
    levels = [(entry["outcome"], entry["log_level"]) for entry in captured.entries]
    assert levels == [
        ("failure", "warning"),
        ("fallback", "warning"),
        ("cancelled", "debug"),
        ("rejected", "error"),
    ]
    assert "last_error" not in captured.entries[0]
    assert "error" not in captured.entries[1]
    assert captured.entries[3]["attempts"] == []


def test_case_86_prompts_and_keys_are_never_logged(captured, failed) -> None:
    """No event contains an error message, a verdict's reason or an answer."""
    logs = DebugLogs("default")
    for name, event in EVENTS.items():
        dispatch(logs, name, event)
    dispatch_call(logs, failed)
    dispatch_call(logs, call("success", attempt()))
    logs.on_listener_error(logs.hold_changed, RuntimeError(PROMPT))
    logs.on_classifier_error(ValueError(PROMPT))
    assert len(captured.entries) == len(EVENTS) + len(failed.attempts) + 1 + 2 + 2
    assert "secret" not in repr(captured.entries)
    assert "sk-12345" not in repr(captured.entries)


def test_error_messages_are_logged_if_enabled(captured, failed) -> None:
    """With `error_messages=True` they are logged in one line of at most 200 characters."""
    failed.attempts[-1].error = ConnectionError("refused\n" * 100)
    dispatch_call(make_logs("default", debug=False, error_messages=True), failed)
    (entry,) = captured.entries
    assert entry["error_message"] == PROMPT
    assert len(entry["last_error_message"]) == 200
    assert "\n" not in entry["last_error_message"]


def test_request_ids_are_cut(captured) -> None:
    """The provider's request id is logged, cut to 100 characters."""
    error = ProviderError("x", provider="openai", kind=FailureKind.SERVER, request_id="r" * 300)
    record = attempt(kind=FailureKind.SERVER, error=error)
    dispatch(make_logs("default"), "call_failed", call("failure", record, error=error))
    assert captured.entries[0]["request_id"] == "r" * 100


def test_successful_attempts_are_not_delivered() -> None:
    """Attempts are not delivered, and a successful call looks up no logger."""
    logs = make_logs("default")
    assert {"attempt_started", "attempt_ended"}.isdisjoint(handled_by(logs))
    logs._logger = lambda: pytest.fail("a successful call looked up a logger")
    dispatch_call(logs, call("success", attempt()))


@pytest.mark.parametrize(("level", "logged"), [(logging.INFO, False), (logging.DEBUG, True)])
def test_debug_logs_each_attempt_and_successful_call(level, logged) -> None:
    """If debug is enabled when the logs are created, attempts are logged."""
    capture = LogCapture()
    wrapper = structlog.make_filtering_bound_logger(level)
    structlog.configure(processors=[capture], wrapper_class=wrapper)
    dispatch_call(make_logs("default"), call("success", attempt()))
    events = [(entry["event"], entry["log_level"]) for entry in capture.entries]
    assert events == [("attempt ended", "debug"), ("call succeeded", "debug")] * logged


def test_debug_parameter_overrides_the_logger() -> None:
    """`debug=` takes precedence; a logger of unknown level counts as info."""
    assert type(make_logs("default")) is Logs
    assert type(make_logs("default", debug=True)) is DebugLogs
    structlog.configure(wrapper_class=structlog.BoundLogger)
    assert type(make_logs("default")) is Logs
    assert type(make_logs("default", CapturingLogger())) is Logs
    verbose = logging.Logger("verbose", logging.DEBUG)  # noqa: LOG001 - used by this test only
    assert type(make_logs("default", verbose)) is DebugLogs
    assert type(make_logs("default", verbose, debug=False)) is Logs


def test_context_variables_of_the_caller_are_included(captured, capsys) -> None:
    """Bound context variables are in the event, with and without configuration."""
    structlog.contextvars.bind_contextvars(request="r-17")
    dispatch(make_logs("default"), "circuit_changed", OPENED)
    assert captured.entries[0]["request"] == "r-17"
    structlog.reset_defaults()
    dispatch(make_logs("default"), "circuit_changed", OPENED)
    assert "request=r-17" in capsys.readouterr().err


def test_unconfigured_structlog_writes_readable_lines(capsys, failed) -> None:
    """An unconfigured structlog stays unconfigured; info and above go to stderr."""
    logs = make_logs("default", debug=True)
    dispatch(logs, "circuit_changed", OPENED)
    dispatch_call(logs, call("success", attempt()))
    dispatch_call(logs, failed)
    written = capsys.readouterr()
    first, second = written.err.splitlines()
    assert written.out == ""
    assert "[warning  ] circuit opened" in first
    assert (
        "provider=openai from=closed to=open reason=failures generation=1 open_duration=60.0"
        in first
    )
    assert "[error    ] call failed" in second
    assert not structlog.is_configured()


def test_a_later_configuration_is_used(capsys) -> None:
    """A structlog configured after the first event is used from then on."""
    logs = make_logs("default")
    dispatch(logs, "circuit_changed", OPENED)
    capture = LogCapture()
    structlog.configure(processors=[capture])
    dispatch(logs, "circuit_changed", HALF_OPENED)
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert [entry["to"] for entry in capture.entries] == ["half_open"]


def test_a_standard_library_logger() -> None:
    """Fields and context variables are in the message, and the logger's level applies."""
    stream = io.StringIO()
    logger = logging.Logger("shop", logging.INFO)  # noqa: LOG001 - used by this test only
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    structlog.contextvars.bind_contextvars(request="r-17")
    logs = make_logs("default", logger)
    dispatch(logs, "circuit_changed", OPENED)
    dispatch(logs, "retry_denied", RetryDenied("default", "coding", "attempts"))
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("WARNING shop: circuit opened ")
    assert "to=open" in line
    assert "request=r-17" in line


def test_a_structlog_logger() -> None:
    """A structlog logger passed as `logger` is used unchanged."""
    capture = LogCapture()
    logger = structlog.wrap_logger(None, processors=[capture]).bind(app="shop")
    dispatch(make_logs("default", logger), "circuit_changed", OPENED)
    assert capture.entries[0]["app"] == "shop"


def test_case_38_a_failing_listener_is_logged_once(captured) -> None:
    """Each method that raises is logged the first time, with the line that raised."""

    class Failing(Listener):
        def hold_changed(self, event: HoldChanged) -> None:
            raise RuntimeError(PROMPT)

        def panic_started(self, event: PanicStarted) -> None:
            raise KeyError(PROMPT)

    dispatcher = EventDispatcher([Failing(), Failing()], make_logs("default").on_listener_error)
    for _ in range(3):
        dispatcher.post("hold_changed", EVENTS["hold_changed"])
        dispatcher.post("panic_started", EVENTS["panic_started"])
    dispatcher.deliver()
    assert len(captured.entries) == 4  # two methods of two listeners
    assert {entry["error"] for entry in captured.entries} == {"RuntimeError", "KeyError"}
    first = captured.entries[0]
    assert (first["event"], first["log_level"]) == ("listener failed", "error")
    assert first["listener"].endswith("Failing.hold_changed")
    assert first["where"].startswith("test_logs.py:")
    assert first["where"].endswith(" in hold_changed")


def test_case_38_a_failing_log_processor_is_logged_on_stderr(capsys) -> None:
    """A user's log processor that raises is logged once, on stderr."""

    def processor(*_: object) -> None:
        raise RuntimeError(PROMPT)

    structlog.configure(processors=[processor])
    logs = make_logs("default")
    dispatcher = EventDispatcher([logs], logs.on_listener_error)
    for _ in range(2):
        dispatcher.post("circuit_changed", OPENED)
    dispatcher.deliver()
    (line,) = capsys.readouterr().err.splitlines()
    assert "listener failed" in line
    assert "listener=Logs.circuit_changed" in line
    assert "error=RuntimeError" in line
    assert "secret" not in line


def test_case_38_a_missing_stderr_is_ignored(monkeypatch) -> None:
    """A failing listener raises nothing in a program without stderr."""
    monkeypatch.setattr(sys, "stderr", None)
    make_logs("default").on_listener_error(print, RuntimeError("never raised"))


def test_a_failing_classifier_is_logged_once(captured) -> None:
    """`classify=` that raises is logged the first time only."""
    logs = make_logs("default")
    logs.on_classifier_error(RuntimeError("one"))
    logs.on_classifier_error(ValueError("two"))
    (entry,) = captured.entries
    assert (entry["event"], entry["error"]) == ("classifier failed", "RuntimeError")
    assert entry["where"] == "unknown"


def test_structlog_is_loaded_with_the_first_router() -> None:
    """Neither by the import of the package, which is quick, nor by the first event."""
    script = """
import sys
from unittest.mock import MagicMock
from multirouter.listeners.logs import make_logs
from tests.listeners.helpers import call, dispatch_call
assert "structlog" not in sys.modules
logs = make_logs("default")
assert "structlog" in sys.modules
dispatch_call(logs, call("rejected"))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    assert "call failed" in done.stderr


class AsyncLogger:
    """As structlog's AsyncBoundLogger."""

    async def info(self, event: str, **fields: object) -> None: ...


@pytest.mark.parametrize(
    ("logger", "message"),
    [
        ("multirouter", "must be a structlog or standard logger, got 'multirouter' without info"),
        (print, "without info"),
        (AsyncLogger(), r"AsyncLogger.info\(\) is async"),
    ],
)
def test_a_logger_that_would_write_nothing_is_invalid(logger, message) -> None:
    """At construction: its failures would hide each event of an incident."""
    with pytest.raises(ConfigurationError, match=message):
        make_logs("default", logger)


@pytest.mark.parametrize(
    "logger",
    [
        logging.getLogger("router"),
        logging.LoggerAdapter(logging.getLogger("router"), {}),
        structlog.get_logger(),
        structlog.stdlib.get_logger(),
        MagicMock(),
    ],
)
def test_loggers_of_each_kind_are_accepted(logger) -> None:
    """The standard library's, structlog's, and doubles of tests."""
    assert isinstance(make_logs("default", logger, debug=False), Logs)


# ── repetitions, fallbacks, the documentation ───────────────────────────────────────────────────


def test_repetitions_of_a_long_outage_are_counted(captured) -> None:
    """Of failovers that are alike, twenty a minute are logged; the next one tells how many not."""
    now = [0.0]
    logs = make_logs("default")
    logs._repetitions = Repetitions(lambda: now[0])
    for _ in range(1_000):
        now[0] += 0.01
        dispatch(logs, "failed_over", EVENTS["failed_over"])
    assert len(captured.entries) == LOGGED
    other = FailedOver("default", "coding", "openai", "local", FailureKind.TIMEOUT)
    dispatch(logs, "failed_over", other)
    assert captured.entries[-1]["reason"] == "timeout"
    now[0] += MINUTE
    dispatch(logs, "failed_over", EVENTS["failed_over"])
    assert captured.entries[-1]["repeated"] == 1_000 - LOGGED
    dispatch(logs, "failed_over", EVENTS["failed_over"])
    assert "repeated" not in captured.entries[-1]


def test_changes_of_state_are_never_left_out(captured) -> None:
    """However often a circuit opens, each time is logged."""
    logs = make_logs("default")
    for _ in range(3 * LOGGED):
        dispatch(logs, "circuit_changed", OPENED)
    assert len(captured.entries) == 3 * LOGGED


def test_repetitions_take_bounded_memory() -> None:
    """However many kinds of events there are, few are remembered."""
    repetitions = Repetitions(lambda: 0.0)
    for number in range(10 * MAX_KINDS):
        assert repetitions.admit("failover", {"route": str(number)}) == 0
        assert len(repetitions._seen) <= MAX_KINDS


@pytest.mark.backends("asyncio")
async def test_calls_that_begin_to_get_the_fallback(captured) -> None:
    """One line says that a route's calls get the fallback's answer, one that they no longer do."""
    broken = [True]

    async def answer(request: str) -> str:
        if broken[0]:
            raise ConnectionResetError
        return request

    async with MultiProviderRouter(
        [Provider("a", answer)], fallback="sorry", registry=CollectorRegistry()
    ) as router:
        handlers = router._engine.dispatcher._handlers["call_ended"]

        async def calls(number: int) -> None:
            for _ in range(number):
                await router.call("x")
                await anyio.sleep(5)

        broken[0] = False
        await calls(2)
        assert router._engine.dispatcher._handlers["call_ended"] == handlers
        broken[0] = True
        await calls(20)
        broken[0] = False
        await calls(30)
    lines = [
        (e["event"], e["log_level"], e["route"])
        for e in captured.entries
        if "fallback" in e["event"]
    ]
    assert lines == [("fallback began", "info", "default"), ("fallback ended", "info", "default")]
    (ended,) = [e for e in captured.entries if e["event"] == "fallback ended"]
    assert 60 < ended["seconds"] < 200


def documented_events() -> dict[str, str]:
    """The events of the page, each with its level as the page words it."""
    page = Path(__file__).parents[2] / "docs" / "reference" / "logs.md"
    rows = re.findall(
        r"^\| (`[^|]+`) \| ([^|]+) \| [^|]*\|$", page.read_text("utf-8"), re.MULTILINE
    )
    return {
        event: level
        for events, level in rows
        for event in re.findall(r"`([a-z -]+)`", events)
        if re.match("see below|info|warning|error|debug", level)
    }


def logged_events() -> dict[str, str]:
    """The events that the modules of logs write, each with its level where it is a constant."""
    found: dict[str, str] = {}
    for module in (logs_module, sharing_log):
        for node in ast.walk(ast.parse(Path(module.__file__).read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr == "_log" and isinstance(node.args[1], ast.Constant):
                level = node.args[0]
                found[node.args[1].value] = level.value if isinstance(level, ast.Constant) else ""
            elif node.func.attr == "_log_error":
                found[node.args[0].value] = "error"
    circuits = logs_module._CIRCUIT_EVENTS.values()
    names = dict.fromkeys((*circuits, *(f"model {event}" for event in circuits)), "")
    return found | names | {"budget exhausted": "warning", "budget warning": "warning"}


def test_every_event_is_documented_with_its_level() -> None:
    """The page lists the events that are logged, and no other, with their levels."""
    documented, logged = documented_events(), logged_events()
    assert documented.keys() == logged.keys()
    assert len(logged) > 25
    wrong = {e for e, level in logged.items() if level and not documented[e].startswith(level)}
    assert wrong == set()


@pytest.mark.parametrize("name", EVENTS)
def test_the_fields_of_an_event_are_documented(captured, name) -> None:
    """The page names each field of an event."""
    dispatch(make_logs("default"), name, EVENTS[name])
    (entry,) = captured.entries
    page = (Path(__file__).parents[2] / "docs" / "reference" / "logs.md").read_text("utf-8")
    row = next(r for r in page.splitlines() if r.startswith("|") and f"`{entry['event']}`" in r)
    if "the same" in row:
        row = page
    fields = entry.keys() - {"event", "log_level", "router"}
    assert {field for field in fields if f"`{field}`" not in row} == set()
