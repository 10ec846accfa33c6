"""Logs write one event for each change and each failed call, and never what was said."""

from __future__ import annotations

import io
import logging
import subprocess
import sys

import pytest
import structlog
from structlog.testing import CapturingLogger, LogCapture

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import (
    CircuitChanged,
    Configured,
    CooldownStarted,
    FailedOver,
    HoldChanged,
    Listener,
    PanicStarted,
    RetryDenied,
)
from multirouter.errors import AllProvidersFailed, NoProviderAvailable, ProviderError
from multirouter.listeners.logs import DebugLogs, Logs, make_logs
from multirouter.model import FailureKind
from tests.listeners.doubles import PROMPT, attempt, call, heard_by, tell, tell_call

OPENED = CircuitChanged("default", "openai", "closed", "open", "failures", 1, 60.0, 5.0)
HALF_OPENED = CircuitChanged("default", "openai", "open", "half_open", "reset", 2, 0.0, 65.0)
CLOSED = CircuitChanged("default", "openai", "half_open", "closed", "recovered", 3, 0.0, 66.0)

RARE = {
    "circuit_changed": OPENED,
    "cooldown_started": CooldownStarted("default", "openai", 5.0, asked=True, at=0.0),
    "failed_over": FailedOver("default", "coding", "openai", "local", FailureKind.SERVER),
    "retry_denied": RetryDenied("default", "coding", "budget"),
    "hold_changed": HoldChanged("default", "openai", "disabled"),
    "configured": Configured("default", added=("fresh",), updated=("openai",)),
    "panic_started": PanicStarted("default", "coding"),
}


@pytest.fixture(autouse=True)
def unconfigured():
    """Each test begins and ends with a structlog that nobody has configured."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.fixture
def heard() -> LogCapture:
    """All events that pass the user's own structlog configuration."""
    capture = LogCapture()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, capture])
    return capture


@pytest.fixture
def failed():
    """A call that two providers failed, in errors that quote the prompt and a key."""
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


def test_case_86_one_event_for_each_change_of_state(heard) -> None:
    """A change says provider, from, to, reason, era and open_duration; only opening is a warning."""
    logs = make_logs("default")
    for news in (OPENED, HALF_OPENED, CLOSED):
        tell(logs, "circuit_changed", news)
    assert heard.entries[0] == {
        "event": "circuit changed",
        "log_level": "warning",
        "router": "default",
        "provider": "openai",
        "from": "closed",
        "to": "open",
        "reason": "failures",
        "era": 1,
        "open_duration": 60.0,
    }
    assert [entry["log_level"] for entry in heard.entries] == ["warning", "info", "info"]
    assert [entry["era"] for entry in heard.entries] == [1, 2, 3]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("cooldown_started", {"event": "provider rests", "provider": "openai", "seconds": 5.0}),
        ("failed_over", {"from": "openai", "to": "local", "reason": "server", "route": "coding"}),
        ("retry_denied", {"event": "retry refused", "reason": "budget", "route": "coding"}),
        ("hold_changed", {"event": "provider held", "provider": "openai", "hold": "disabled"}),
        ("configured", {"added": ["fresh"], "updated": ["openai"]}),
        ("panic_started", {"event": "circuits disregarded", "route": "coding"}),
    ],
)
def test_rare_news_is_one_event_of_info(heard, kind, expected) -> None:
    """What is no loss yet is told once, at info, with names alone."""
    tell(make_logs("default"), kind, RARE[kind])
    (entry,) = heard.entries
    assert entry["log_level"] == "info"
    assert expected.items() <= entry.items()


def test_what_is_no_surprise_is_told_at_debug(heard) -> None:
    """A retry that the call's own limits forbid is debug; a release by hand is told."""
    logs = make_logs("default")
    tell(logs, "retry_denied", RetryDenied("default", "coding", "attempts"))
    tell(logs, "hold_changed", HoldChanged("default", "openai", None))
    assert [entry["log_level"] for entry in heard.entries] == ["debug", "info"]
    assert heard.entries[1]["event"] == "provider released"


def test_a_failed_call_is_one_error_with_its_trail(heard, failed) -> None:
    """It says who was asked and how each ended, by class, kind and status."""
    tell_call(Logs("default"), failed)
    (entry,) = heard.entries
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


def test_levels_of_failed_calls(heard) -> None:
    """A request's own fault and a substitute answer warn; a caller who left is debug."""
    logs = make_logs("default")
    fault = attempt(kind=FailureKind.CONTEXT_LENGTH, error=ValueError(PROMPT))
    tell(logs, "call_failed", call("failure", fault, error=fault.error))
    tell(logs, "call_failed", call("fallback", attempt(kind=FailureKind.SERVER)))
    tell(logs, "call_failed", call("cancelled", attempt(kind=FailureKind.CANCELLED)))
    refused = NoProviderAvailable("all out", states={"openai": PROMPT})
    tell(logs, "call_failed", call("refused", error=refused))
    told = [(entry["outcome"], entry["log_level"]) for entry in heard.entries]
    assert told == [
        ("failure", "warning"),
        ("fallback", "warning"),
        ("cancelled", "debug"),
        ("refused", "error"),
    ]
    assert "last_error" not in heard.entries[0]
    assert "error" not in heard.entries[1]
    assert heard.entries[3]["attempts"] == []


def test_case_86_no_word_of_prompt_or_key(heard, failed) -> None:
    """No event holds a word of what errors say, what a verdict quotes, or what was answered."""
    logs = DebugLogs("default")
    for kind, news in RARE.items():
        tell(logs, kind, news)
    tell_call(logs, failed)
    tell_call(logs, call("success", attempt()))
    logs.broken(logs.hold_changed, RuntimeError(PROMPT))
    logs.classifier_broken(ValueError(PROMPT))
    assert len(heard.entries) == len(RARE) + len(failed.attempts) + 1 + 2 + 2
    assert "secret" not in repr(heard.entries)
    assert "sk-12345" not in repr(heard.entries)


def test_messages_when_asked_for(heard, failed) -> None:
    """With `error_messages=True` they are told in one line of at most 200 characters."""
    failed.attempts[-1].error = ConnectionError("refused\n" * 100)
    tell_call(make_logs("default", debug=False, error_messages=True), failed)
    (entry,) = heard.entries
    assert entry["error_message"] == PROMPT
    assert len(entry["last_error_message"]) == 200
    assert "\n" not in entry["last_error_message"]


def test_request_ids_are_bounded(heard) -> None:
    """The provider's id of the request is told, cut at 100 characters."""
    error = ProviderError("x", provider="openai", kind=FailureKind.SERVER, request_id="r" * 300)
    record = attempt(kind=FailureKind.SERVER, error=error)
    tell(make_logs("default"), "call_failed", call("failure", record, error=error))
    assert heard.entries[0]["request_id"] == "r" * 100


def test_healthy_attempts_cost_nothing() -> None:
    """No method hears of attempts, and an answered call asks for no logger."""
    logs = make_logs("default")
    assert {"attempt_started", "attempt_ended"}.isdisjoint(heard_by(logs))
    logs._logger = lambda: pytest.fail("a healthy call asked for a logger")
    tell_call(logs, call("success", attempt()))


@pytest.mark.parametrize(("level", "told"), [(logging.INFO, False), (logging.DEBUG, True)])
def test_debug_tells_of_each_attempt_and_answer(level, told) -> None:
    """Where structlog lets debug through when the router is made, attempts are told."""
    capture = LogCapture()
    wrapper = structlog.make_filtering_bound_logger(level)
    structlog.configure(processors=[capture], wrapper_class=wrapper)
    tell_call(make_logs("default"), call("success", attempt()))
    events = [(entry["event"], entry["log_level"]) for entry in capture.entries]
    assert events == [("attempt ended", "debug"), ("call answered", "debug")] * told


def test_debug_by_word() -> None:
    """`debug=` decides where given; a logger that cannot be asked is one of info."""
    assert type(make_logs("default")) is Logs
    assert type(make_logs("default", debug=True)) is DebugLogs
    structlog.configure(wrapper_class=structlog.BoundLogger)
    assert type(make_logs("default")) is Logs
    assert type(make_logs("default", CapturingLogger())) is Logs
    chatty = logging.Logger("chatty", logging.DEBUG)  # noqa: LOG001 - seen by this test alone
    assert type(make_logs("default", chatty)) is DebugLogs
    assert type(make_logs("default", chatty, debug=False)) is Logs


def test_contextvars_of_the_caller_appear(heard, capsys) -> None:
    """What the user bound for the request stands in the event, with and without configuration."""
    structlog.contextvars.bind_contextvars(request="r-17")
    tell(make_logs("default"), "circuit_changed", OPENED)
    assert heard.entries[0]["request"] == "r-17"
    structlog.reset_defaults()
    tell(make_logs("default"), "circuit_changed", OPENED)
    assert "request=r-17" in capsys.readouterr().err


def test_readable_without_configuration(capsys, failed) -> None:
    """An unconfigured structlog stays so: info and more go to stderr, in plain lines."""
    logs = make_logs("default", debug=True)
    tell(logs, "circuit_changed", OPENED)
    tell_call(logs, call("success", attempt()))
    tell_call(logs, failed)
    written = capsys.readouterr()
    first, second = written.err.splitlines()
    assert written.out == ""
    assert "[warning  ] circuit changed" in first
    assert "provider=openai from=closed to=open reason=failures era=1 open_duration=60.0" in first
    assert "[error    ] call failed" in second
    assert not structlog.is_configured()


def test_late_configuration_is_respected(capsys) -> None:
    """A structlog configured after the first event is used from then on."""
    logs = make_logs("default")
    tell(logs, "circuit_changed", OPENED)
    capture = LogCapture()
    structlog.configure(processors=[capture])
    tell(logs, "circuit_changed", HALF_OPENED)
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert [entry["to"] for entry in capture.entries] == ["half_open"]


def test_a_logger_of_the_standard_library() -> None:
    """Fields stand readable in the message, contextvars too, and the level filters."""
    stream = io.StringIO()
    logger = logging.Logger("shop", logging.INFO)  # noqa: LOG001 - seen by this test alone
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    structlog.contextvars.bind_contextvars(request="r-17")
    logs = make_logs("default", logger)
    tell(logs, "circuit_changed", OPENED)
    tell(logs, "retry_denied", RetryDenied("default", "coding", "attempts"))
    (line,) = stream.getvalue().splitlines()
    assert line.startswith("WARNING shop: circuit changed ")
    assert "to=open" in line
    assert "request=r-17" in line


def test_a_logger_of_structlog() -> None:
    """A structlog logger that is handed in is used as it is."""
    capture = LogCapture()
    logger = structlog.wrap_logger(None, processors=[capture]).bind(app="shop")
    tell(make_logs("default", logger), "circuit_changed", OPENED)
    assert capture.entries[0]["app"] == "shop"


def test_case_38_a_broken_listener_is_told_once(heard) -> None:
    """Each method that raises is told the first time, with the line it raised in."""

    class Clumsy(Listener):
        def hold_changed(self, news: HoldChanged) -> None:
            raise RuntimeError(PROMPT)

        def panic_started(self, news: PanicStarted) -> None:
            raise KeyError(PROMPT)

    dispatcher = EventDispatcher([Clumsy(), Clumsy()], make_logs("default").broken)
    for _ in range(3):
        dispatcher.post("hold_changed", RARE["hold_changed"])
        dispatcher.post("panic_started", RARE["panic_started"])
    dispatcher.deliver()
    assert len(heard.entries) == 4  # two methods of two listeners
    assert {entry["error"] for entry in heard.entries} == {"RuntimeError", "KeyError"}
    first = heard.entries[0]
    assert (first["event"], first["log_level"]) == ("listener broken", "error")
    assert first["listener"].endswith("Clumsy.held")
    assert first["where"].startswith("test_logs.py:")
    assert first["where"].endswith(" in held")


def test_case_38_broken_logging_harms_nothing(capsys) -> None:
    """A log processor of the user's that raises is told on stderr, once, and goes no further."""

    def processor(*_: object) -> None:
        raise RuntimeError(PROMPT)

    structlog.configure(processors=[processor])
    logs = make_logs("default")
    dispatcher = EventDispatcher([logs], logs.broken)
    for _ in range(2):
        dispatcher.post("circuit_changed", OPENED)
    dispatcher.deliver()
    (line,) = capsys.readouterr().err.splitlines()
    assert "listener broken" in line
    assert "listener=Logs.circuit_changed" in line
    assert "error=RuntimeError" in line
    assert "secret" not in line


def test_case_38_no_stderr_harms_nothing(monkeypatch) -> None:
    """Not even a program without any place to write to is harmed by a broken listener."""
    monkeypatch.setattr(sys, "stderr", None)
    make_logs("default").broken(print, RuntimeError("never raised, so nowhere"))


def test_a_broken_classifier_is_told_once(heard) -> None:
    """`classify=` that raises is told the first time, whatever it raises later."""
    logs = make_logs("default")
    logs.classifier_broken(RuntimeError("one"))
    logs.classifier_broken(ValueError("two"))
    (entry,) = heard.entries
    assert (entry["event"], entry["error"]) == ("classifier broken", "RuntimeError")
    assert entry["where"] == "unknown"


def test_structlog_is_loaded_at_the_first_event() -> None:
    """Neither import nor healthy calls load structlog, which takes longer than all the rest."""
    script = """
import sys
from multirouter.listeners.logs import make_logs
from tests.listeners.doubles import attempt, call, tell_call
logs = make_logs("default")
tell_call(logs, call("success", attempt()))
assert "structlog" not in sys.modules
tell_call(logs, call("refused"))
assert "structlog" in sys.modules
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    assert "call failed" in done.stderr
