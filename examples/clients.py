"""Models of the examples: vendors' SDKs where an API key is set, simulated models otherwise.

    OPENAI_API_KEY=... ANTHROPIC_API_KEY=... python examples/task_chains.py

Copy the three functions that call an SDK; the simulation only lets the examples run offline. The
SDKs' own retries are off (`max_retries=0`): the router retries, and can fail over.
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
    """An answer: its text, and the usage that the vendor reported, from which the cost follows."""

    text: str
    usage: Any = None


Ask = Callable[[str], Awaitable[Reply]]
Model = Provider[str, Reply]


def openai(model: str, **settings: Any) -> tuple[Ask, Callable[[], Awaitable[None]]]:
    """Calls OpenAI, or an OpenAI-compatible service, with the SDK of OpenAI."""
    from openai import AsyncOpenAI

    client = AsyncOpenAI(max_retries=0, **settings)

    async def ask(prompt: str) -> Reply:
        messages: list[Any] = [{"role": "user", "content": prompt}]
        answer = await client.chat.completions.create(model=model, messages=messages)
        return Reply(answer.choices[0].message.content or "", answer.usage)

    return ask, client.close


def anthropic(model: str) -> tuple[Ask, Callable[[], Awaitable[None]]]:
    """Calls Anthropic with its SDK."""
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
    """Calls Gemini with Google's SDK."""
    from google import genai

    client = genai.Client(api_key=os.environ["GEMINI_API_KEY"]).aio

    async def ask(prompt: str) -> Reply:
        answer = await client.models.generate_content(model=model, contents=prompt)
        usage = answer.usage_metadata
        tokens_in = usage.prompt_token_count if usage is not None else 0
        tokens_out = usage.candidates_token_count if usage is not None else 0
        counts = {"prompt_tokens": tokens_in or 0, "completion_tokens": tokens_out or 0}
        return Reply(answer.text or "", counts)

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
    """The error of a simulated model: a 503."""

    status_code = 503


class SimulatedModel:
    """A simulated model with latency and random failures.

    Attributes:
        down: whether every request fails.

    Args:
        name: start of its answers, and seed of its failures.
        seconds: latency of an answer.
        error_rate: share of requests that fail, 0 to 1.
        answer: makes the answer's text from the prompt; None: a text with name and prompt.
    """

    def __init__(
        self,
        name: str,
        seconds: float,
        error_rate: float,
        answer: Callable[[str], str] | None,
    ) -> None:
        self.down = False
        self._name = name
        self._seconds = seconds
        self._error_rate = error_rate
        self._answer = answer
        self._rng = Random(name)

    async def __call__(self, prompt: str) -> Reply:
        """Answers or fails."""
        await asyncio.sleep(self._seconds)
        if self.down or self._rng.random() < self._error_rate:
            raise Unavailable(f"{self._name} is overloaded")
        text = f"{self._name} answers {prompt!r}" if self._answer is None else self._answer(prompt)
        usage = {"prompt_tokens": 20 + len(prompt) // 4, "completion_tokens": 300}
        return Reply(text, usage)


def model(
    name: str,
    vendor: str,
    id_: str,
    *,
    seconds: float = 0.02,
    error_rate: float = 0.0,
    answer: Callable[[str], str] | None = None,
    **settings: Any,
) -> Model:
    """A provider: the real model if its vendor's API key is set, else a simulated one.

    Args:
        name: the provider's name in the router.
        vendor: one of `VENDORS`.
        id_: the vendor's name of the model.
        seconds: see `SimulatedModel`.
        error_rate: see `SimulatedModel`.
        answer: see `SimulatedModel`.
        settings: as for `Provider`.
    """
    key, connect = VENDORS[vendor]
    if not os.environ.get(key):
        simulated = SimulatedModel(name, seconds, error_rate, answer)
        return Provider(name, simulated, domains=(vendor,), **settings)
    ask, aclose = connect(id_)
    return Provider(name, ask, aclose=aclose, domains=(vendor,), **settings)


def set_down(provider: Model, *, down: bool) -> bool:
    """Starts or ends an outage of a simulated model; False for a real one, which is unchanged."""
    simulated = provider.call
    if isinstance(simulated, SimulatedModel):
        simulated.down = down
        return True
    return False
