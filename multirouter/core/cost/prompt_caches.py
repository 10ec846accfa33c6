"""Prompt caches: which providers hold the prompt of a conversation, and how much of it."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from multirouter.model import Usage

MAX_CONVERSATIONS = 20_000
"""Conversations remembered; the one that was unused for longest is forgotten first."""

MAX_PLACES = 8
"""Providers remembered of one conversation."""


class CachedPrompt(NamedTuple):
    """The latest prompt of a conversation at one provider.

    Attributes:
        provider: its name.
        usage: what the attempt used.
        used: loop time at which it ended, seconds.
    """

    provider: str
    usage: Usage
    used: float


class PromptCaches:
    """The prompts that providers were sent lately, by conversation.

    A provider caches the prompt of each request for some minutes, and each use prolongs that.
    What is known here is an assumption: no provider reports what it holds.
    """

    __slots__ = ("_conversations",)

    def __init__(self) -> None:
        self._conversations: OrderedDict[str | bytes | int, dict[str, CachedPrompt]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._conversations)

    def record(self, key: str | bytes | int, place: str, prompt: CachedPrompt) -> None:
        """Records an attempt that sent the conversation's prompt.

        Args:
            key: the conversation.
            place: key of the candidate.
            prompt: what it holds now.
        """
        places = self._conversations.get(key)
        if places is None:
            if len(self._conversations) >= MAX_CONVERSATIONS:
                self._conversations.popitem(last=False)
            places = self._conversations[key] = {}
        else:
            self._conversations.move_to_end(key)
        places.pop(place, None)
        if len(places) >= MAX_PLACES:
            del places[next(iter(places))]
        places[place] = prompt  # the latest is the last

    def latest(self, key: str | bytes | int, since: float) -> tuple[str, CachedPrompt] | None:
        """The place that was used last and its prompt; None without one after `since`.

        Args:
            key: the conversation.
            since: loop time, seconds.
        """
        places = self._conversations.get(key)
        if not places:
            return None
        place, prompt = next(reversed(places.items()))
        return (place, prompt) if prompt.used > since else None

    def tokens(self, key: str | bytes | int, place: str, since: float) -> int:
        """Input tokens of the conversation's prompt at a place; 0 if not used after `since`."""
        prompt = self._conversations.get(key, {}).get(place)
        return prompt.usage.input if prompt is not None and prompt.used > since else 0
