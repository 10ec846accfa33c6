"""Style of messages: words and forms that a message must not have."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.docs.test_words import found_in
from tests.messages.source_texts import Template

PERSONIFIED = re.compile(
    r"\b(wants?|wanted|refuses?|refused|knows?|knew|thinks?|believes?|likes?|hopes?|dares?|asks?|"
    r"asked|tells?|says?|complains?|insists?|dies|died|someone|everybody|everyone|anybody)\b",
    re.IGNORECASE,
)
"""Words for what people do; programs reject, deny, have, return, require."""

UNHELPFUL = re.compile(
    r"\b(sorry|oops|please|simply|obviously|just|illegal|bad|(?:ca|wo|does|do|is|are|did)n't)\b"
    r"|!(?![\w=/.])",
    re.IGNORECASE,
)
"""Contractions, and words that do not help to correct a mistake."""

IMITATED = frozenset({"testing/fakes/faults.py", "testing/fakes/formats.py"})
"""Modules that describe or imitate models and providers, which may refuse."""

ERRORS = frozenset({"ConfigurationError", "UsageError"})

ABOUT_A_VALUE = re.compile(r"\bmust be (?!given|set)")
WITHOUT_VALUE = re.compile(r"the value is not shown|^{what}")
"""A message about a value that may be a secret."""

PREDICATES = re.compile(
    r"must (not )?(be|have|name|contain|return|set|take|match|allow)\b|"
    r"(is|are) (required|missing|not|nested|too|only valid for)\b|requires\b|"
    r"unknown |duplicate |invalid |does not exist|cannot |serves other machines|has version|"
    r"matches no provider|refers back to itself|this name is reserved|already belongs to|"
    r"^\{\w+(\(.*\))?\}$"
)
"""What the second part of a ConfigurationError says of the setting in its first part."""

SECONDS = re.compile(r"\{\w*(?:seconds|elapsed|timeout|duration|remaining)\}(?! s\b)")
"""A field with seconds that no unit follows."""


def problems(template: Template) -> Iterator[str]:
    """Yields what is wrong with a message."""
    text = " ".join(" ".join(template.texts).split())
    literal = re.sub(r"`[^`]*`|\{[^{}]*\}|--[\w-]+", "x", text)
    yield from (f"retired word {line}" for line in found_in(literal))
    if template.module not in IMITATED and (found := PERSONIFIED.search(literal)):
        yield f"personification {found[0]!r}"
    if found := UNHELPFUL.search(literal):
        yield f"unhelpful {found[0]!r}"
    if template.kind and re.search(r"[^.]\.$", text):
        yield "full stop at the end of a message"
    if template.kind == "ConfigurationError":
        yield from _configuration_problems(template.texts)
    if "  " in text.strip() and template.kind:
        yield "double space"
    if found := SECONDS.search(text):
        yield f"no unit after {found[0]}"


def _configuration_problems(texts: tuple[str, ...]) -> Iterator[str]:
    """Checks that an error names the setting, then says what is required and what was found."""
    if len(texts) != 2:
        yield "must have two parts: the setting, and what is wrong with it"
        return
    setting, why = texts
    if not PREDICATES.search(why):
        yield "must say what the setting must be"
    if ABOUT_A_VALUE.search(why) and not re.search(r", got\b|\(the value is not shown", why):
        yield "must show the value (`, got ...`) or say that it is not shown"
    if not setting.strip():
        yield "must name the setting"


def all_problems(templates: Iterator[Template] | tuple[Template, ...]) -> list[str]:
    """Returns what is wrong with messages, with their modules."""
    return [
        f"{template.module}: {problem}\n    {template}"
        for template in templates
        for problem in problems(template)
    ]
