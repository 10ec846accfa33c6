"""The models of the examples: asked by their vendors' SDKs where a key is set, else played here.

    OPENAI_API_KEY=... ANTHROPIC_API_KEY=... python examples/task_chains.py

Copy the three functions that ask an SDK; the player is only there to run the examples offline.
Each SDK's own retries are off (`max_retries=0`): the router retries, and knows whom else to ask.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from multirouter import Provider


@dataclass(frozen=True)
class Reply:
    """An answer: its text, and the usage that the vendor told, which says what it cost."""

    text: str
    usage: Any = None


Ask = Callable[[str], Awaitable[Reply]]
Model = Provider[str, Reply]


def openai(model: str, **where: Any) -> tuple[Ask, Callable[[], Awaitable[None]]]:
    """Asks OpenAI, or whoever speaks its protocol, by the SDK of OpenAI."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(max_retries=0, **where)

    async def ask(prompt: str) -> Reply:
        messages: list[Any] = [{"role": "user", "content": prompt}]
        answer = await client.chat.completions.create(model=model, messages=messages)
        return Reply(answer.choices[0].message.content or "", answer.usage)

    return ask, client.close


def anthropic(model: str) -> tuple[Ask, Callable[[], Awaitable[None]]]:
    """Asks Anthropic by its SDK."""
    from anthropic import AsyncAnthropic

    client = AsyncAnthropic(max_retries=0)

    async def ask(prompt: str) -> Reply:
        answer = await client.messages.create(
            model=model, max_tokens=2048, messages=[{"role": "user", "content": prompt}]
        )
        text = "".join(block.text for block in answer.content if block.type == "text")
        return Reply(text, answer.usage)

    return ask, client.close


def gemini(model: str) -> tuple[Ask, Callable[[], Awaitable[None]]]:
    """Asks Gemini by Google's SDK."""
    from google import genai

    client = genai.Client(api_key=os.environ["GEMINI_API_KEY"]).aio

    async def ask(prompt: str) -> Reply:
        answer = await client.models.generate_content(model=model, contents=prompt)
        told = answer.usage_metadata
        counts = (0, 0) if told is None else (told.prompt_token_count, told.candidates_token_count)
        read, written = (count or 0 for count in counts)
        return Reply(answer.text or "", {"prompt_tokens": read, "completion_tokens": written})

    return ask, client.aclose


VENDORS: dict[str, tuple[str, Callable[[str], tuple[Ask, Callable[[], Awaitable[None]]]]]] = {
    "openai": ("OPENAI_API_KEY", openai),
    "anthropic": ("ANTHROPIC_API_KEY", anthropic),
    "gemini": ("GEMINI_API_KEY", gemini),
    "deepseek": (
        "DEEPSEEK_API_KEY",
        lambda model: openai(
            model,
            base_url=os.environ.get("DEEPSEEK_BASE_URL", "https://api.deepseek.com"),
            api_key=os.environ["DEEPSEEK_API_KEY"],
        ),
    ),
}


class Unavailable(Exception):
    """What a played model fails with: a 503, as its vendor would send it."""

    status_code = 503


class Player:
    """A model that is played: it takes its time, and now and then it fails.

    Attributes:
        down: whether every request fails.

    Args:
        name: begins its answers, and seeds its chance.
        seconds: what an answer takes.
        fails: the share of requests that fail, 0 to 1.
        says: makes the answer's text from the prompt.
    """

    def __init__(
        self,
        name: str,
        seconds: float,
        fails: float,
        says: Callable[[str], str] | None,
    ) -> None:
        self.down = False
        self._name = name
        self._seconds = seconds
        self._fails = fails
        self._says = says
        self._chance = Random(name)

    async def __call__(self, prompt: str) -> Reply:
        """Answers, or fails."""
        await asyncio.sleep(self._seconds)
        if self.down or self._chance.random() < self._fails:
            raise Unavailable(f"{self._name} is overloaded")
        text = f"{self._name} answers {prompt!r}" if self._says is None else self._says(prompt)
        usage = {"prompt_tokens": 20 + len(prompt) // 4, "completion_tokens": 300}
        return Reply(text, usage)


def model(
    name: str,
    vendor: str,
    id_: str,
    *,
    seconds: float = 0.02,
    fails: float = 0.0,
    says: Callable[[str], str] | None = None,
    **settings: Any,
) -> Model:
    """A provider: the real model where its vendor's key is set, a played one elsewhere.

    Args:
        name: the provider's name in the router.
        vendor: one of `VENDORS`.
        id_: what the vendor calls the model.
        seconds: see `Player`.
        fails: see `Player`.
        says: see `Player`.
        settings: the provider's, as for `Provider`.
    """
    key, connect = VENDORS[vendor]
    if not os.environ.get(key):
        return Provider(name, Player(name, seconds, fails, says), domains=(vendor,), **settings)
    ask, aclose = connect(id_)
    return Provider(name, ask, aclose=aclose, domains=(vendor,), **settings)


def switch(provider: Model, *, down: bool) -> bool:
    """Takes a played model down, or up again; False for a real one, which is left alone."""
    player = provider.call
    if isinstance(player, Player):
        player.down = down
        return True
    return False
