"""Providers found in the environment: one for each well-known key that is set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from multirouter.config.provider_builder import KEY_VARIABLES


class Service(NamedTuple):
    """What is served of a service of which nothing is known but its key.

    Attributes:
        model: asked for when the client names none of its models.
        models: what clients may ask it for by name.
    """

    model: str
    models: tuple[str, ...]


SERVICES: Mapping[str, Service] = {
    "openai": Service("gpt-5-mini", ("gpt-*", "o1*", "o3*", "o4*", "chatgpt-*")),
    "anthropic": Service("claude-haiku-4-5", ("claude-*",)),
    "gemini": Service("gemini-2.5-flash", ("gemini-*", "gemma-*")),
    "deepseek": Service("deepseek-chat", ("deepseek-*",)),
    "glm": Service("glm-4.6", ("glm-*",)),
    "kimi": Service("kimi-latest", ("kimi-*", "moonshot-*")),
    "qwen": Service("qwen-plus", ("qwen*",)),
    "mistral": Service("mistral-small-latest", ("mistral-*", "codestral-*", "ministral-*")),
    "groq": Service("llama-3.3-70b-versatile", ("llama-*",)),
    "openrouter": Service("openrouter/auto", ("*/*",)),
}
"""Services in the order in which they are told; `*_MODEL` in the environment names another model
than theirs (`OPENAI_MODEL`). Local servers have no key by which they could be found."""


def discovered(environ: Mapping[str, str]) -> dict[str, Any]:
    """A configuration, as plain data, of all services whose keys are set; or of the echo alone."""
    found: dict[str, Any] = {}
    for name, service in SERVICES.items():
        if any(environ.get(variable) for variable in KEY_VARIABLES[name]):
            model = environ.get(model_variable(name)) or service.model
            found[name] = {"kind": name, "model": model, "models": list(service.models)}
    return {"providers": found or {"echo": {"kind": "echo", "model": "echo"}}}


def model_variable(name: str) -> str:
    """The variable that names a service's model, called after the one of its key."""
    return KEY_VARIABLES[name][0].replace("_API_KEY", "_MODEL")
