"""All messages are in the snapshots, which are up to date, and they are in good style."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

from multirouter import errors
from multirouter.core import function_checks as hooks
from multirouter.core import validation
from tests.docs.test_words import retired
from tests.messages import mistakes, observability, snapshots, source_texts, style
from tests.messages.source_texts import Template

RETIRED = next(iter(retired()))
EXAMPLE = '''
"""Docstring of a module."""
HINT = "install the extra"
def invalid(what: str, why: str) -> HTTPError:
    return HTTPError(400, f"`{what}` {why}", code="invalid_value")
def check(value, name):
    """Docstring of a function."""
    known = ", ".join(names)
    if value:
        raise ConfigurationError(f"Provider({name!r}).weight", f"must be > 0, got {value!r}")
    why = "is open" if value else f"is at {value:.1f} s"
    raise UsageError(f"unknown route {name.strip()}; known: {known}" + why) from error
    raise invalid("model", "must be a string, got " + str(value))
    raise ValueError
    return f"chosen by weight among {len(names)}", "closed", HINT
'''


# ── snapshots ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("topic", snapshots.TOPICS)
def test_snapshot_is_up_to_date(topic: str) -> None:
    """The snapshot of a topic is what `python -m tests.messages` would write now."""
    difference = snapshots.stale(topic, snapshots.rendered(topic))
    if difference:
        pytest.fail(difference, pytrace=False)


def test_no_snapshot_is_left_over() -> None:
    """Each file in the folder is the snapshot of a topic."""
    assert set(snapshots.FOLDER.iterdir()) == set(map(snapshots.path_of, snapshots.TOPICS))


def test_a_stale_snapshot_says_what_to_do() -> None:
    """The message of a stale snapshot has the command that rewrites it, and a short diff."""
    text = snapshots.path_of("mistakes").read_text(encoding="utf-8")
    assert snapshots.stale("mistakes", text) == ""
    advice = snapshots.stale("mistakes", "new\n" + "x\n" * 100 + text)
    assert advice.startswith("mistakes.txt is stale: ")
    assert "`python -m tests.messages`" in advice
    assert "+new" in advice
    assert len(advice.splitlines()) <= snapshots.MAX_DIFF_LINES + 2


# ── completeness ────────────────────────────────────────────────────────────────────────────────


def test_source_texts() -> None:
    """Exceptions come with all their texts, constants and variables are replaced, prose is kept."""
    module = source_texts.Module("m.py", EXAMPLE)
    makers = source_texts.functions_that_make_exceptions([module])
    assert makers == {"invalid"}
    assert list(map(str, source_texts.templates_of(module, makers))) == [
        "ConfigurationError: Provider({name}).weight | must be > 0, got {value}",
        "UsageError: unknown route {strip()}; known: {known}is open",
        "UsageError: unknown route {strip()}; known: {known}is at {value} s",
        "invalid: model | must be a string, got {value}",
        "install the extra",
        "chosen by weight among {names}",
    ]


def test_every_raise_is_read() -> None:
    """Each `raise` of the package with a literal text is among the collected texts."""
    text = source_texts.render()
    for module in source_texts.modules():
        raised = [node.exc for node in module.nodes if isinstance(node, ast.Raise)]
        for call in raised:
            for argument in call.args if isinstance(call, ast.Call) else ():
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    assert argument.value in text, module.name


def test_every_helper_is_tried() -> None:
    """Each function of the two modules that check values is called with a wrong value."""
    functions = {
        name
        for module in (hooks, validation)
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__
    }
    tried = set(re.findall(r"(?:check|hooks)\.(\w+)\(", mistakes.HELPERS))
    other = {"checked_result", "dispose", "is_async", "is_awaitable", "suggestion"}
    other |= {"counts_as_false", "takes_request"}
    assert {name for name in functions if not name.startswith("_")} - tried == other


def test_every_log_event_is_reported() -> None:
    """Each log event of listeners/logs.py is in the snapshot, with its level and fields."""
    text = snapshots.path_of("observability").read_text(encoding="utf-8")
    reported = set(re.findall(r"^\w+ +(.*?)  \{", text, re.MULTILINE))
    assert observability.event_names() - reported == set()


def test_every_error_of_a_call_is_raised() -> None:
    """Each public error is shown by a snapshot, really raised."""
    files = map(snapshots.path_of, ("calls", "mistakes", "commands", "gateway"))
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    bases = {errors.MultirouterError, errors.CallFailed}
    classes = [c for c in vars(errors).values() if inspect.isclass(c) and c not in bases]
    own = [c.__name__ for c in classes if c.__module__ == errors.__name__]
    assert [name for name in own if f"{name}: " not in text] == []


def test_mistakes_raise_errors_of_the_package() -> None:
    """Each mistake is rejected, by an error that names the setting; Python's own say less."""
    text = snapshots.path_of("mistakes").read_text(encoding="utf-8")
    raised = re.findall(r"^    (.*)", text, re.MULTILINE)
    assert [e for e in raised if not re.match(r"(ConfigurationError|UsageError): ", e)] == []


# ── style ───────────────────────────────────────────────────────────────────────────────────────


def test_messages_are_in_good_style() -> None:
    """No message has a word or a form that tests/messages/style.py rejects."""
    assert "\n".join(style.all_problems(source_texts.templates())) == ""


@pytest.mark.parametrize(
    ("kind", "texts", "problem"),
    [
        ("UsageError", ("the router is closed.",), "full stop"),
        ("UsageError", (f"the {RETIRED} is open",), "retired word"),
        ("UsageError", ("the route wants a list",), "personification 'wants'"),
        ("UsageError", ("can't open the router",), "unhelpful"),
        ("", ("no answer within {timeout}",), "no unit after {timeout}"),
        ("ConfigurationError", ("weight", "must be > 0"), "must show the value"),
        ("ConfigurationError", ("weight", "negative, got {value}"), "must say what"),
        ("ConfigurationError", ("weight must be > 0, got {value}",), "must have two parts"),
        ("ConfigurationError", ("", "must be > 0, got {value}"), "must name the setting"),
    ],
)
def test_bad_style_is_found(kind: str, texts: tuple[str, ...], problem: str) -> None:
    """Each check finds what it is for."""
    found = list(style.problems(Template("m.py", kind, texts)))
    assert any(line.startswith(problem) for line in found), found


@pytest.mark.parametrize(
    ("kind", "texts"),
    [
        ("UsageError", ("the router is closed",)),
        ("", ("Stops it early. Prints the summary.",)),
        ("", ("no answer within {timeout} s; see `wants`",)),
        ("ConfigurationError", ("{what}", "must be > 0, got {value}")),
        ("ConfigurationError", ("route", "unknown route {name}")),
    ],
)
def test_good_style_is_accepted(kind: str, texts: tuple[str, ...]) -> None:
    """A good message has no problem; names in backticks and fields are not words."""
    assert list(style.problems(Template("m.py", kind, texts))) == []


def test_snapshots_are_free_of_this_machine() -> None:
    """No snapshot has a path, a port or an address of the run that wrote it."""
    own = re.compile(rf"{re.escape(str(Path.home()))}|/tmp/|0x[0-9a-f]{{6}}|127\.0\.0\.1:\d{{5}}")
    for topic in snapshots.TOPICS:
        assert own.findall(snapshots.path_of(topic).read_text(encoding="utf-8")) == []
