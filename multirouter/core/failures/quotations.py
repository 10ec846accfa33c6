"""Whether a phrase in a provider's error may be a quotation of the request.

Providers quote invalid values in their errors. A request whose value is "API key expired" must not
open the circuit of a provider that quotes it: a phrase counts only if the request lacks it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

_SHORT = 65_536
"""Characters of a text that is compared without regard to blanks, punctuation and escapes."""

_BETWEEN_WORDS = re.compile(r"[\W_]+")


def may_quote(request: object, phrase: str) -> bool:
    """Whether a request contains a phrase, or texts that form it when they are joined.

    Args:
        request: a request of any type; texts are looked for in mappings, lists and tuples.
        phrase: lower case.
    """
    short = []
    for text in _texts(request):
        if len(text) > _SHORT:
            if phrase in text.lower():
                return True
        else:
            short.append(_words(text))
    return _words(phrase) in "".join(short)


def _words(text: str) -> str:
    """The letters and digits of a text, lower case."""
    return _BETWEEN_WORDS.sub("", text.lower())


def _texts(request: object) -> Iterator[str]:
    """All texts in a request, names of fields included, in their order."""
    left = [request]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            left.extend(one for pair in reversed(list(value.items())) for one in reversed(pair))
        elif isinstance(value, list | tuple):
            left.extend(reversed(value))
