"""Providers from the environment: one for each well-known API key that is set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from multirouter.config.provider_builder import KEY_VARIABLES


class Service(NamedTuple):
    """Models of a service that is configured by its API key only.

    Attributes:
        model: model of requests whose model is not one of `models`.
        models: models that clients may request by name; `*` is a wildcard.
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
"""Services in the order of the generated configuration; a `*_MODEL` variable (`OPENAI_MODEL`)
replaces `model`. Local servers are missing, since they have no key to find them by."""


def discover_providers(environ: Mapping[str, str]) -> dict[str, Any]:
    """Returns a configuration, as plain data, of all services whose keys are set, else of echo."""
    found: dict[str, Any] = {}
    for name, service in SERVICES.items():
        if any(environ.get(variable) for variable in KEY_VARIABLES[name]):
            model = environ.get(model_variable(name)) or service.model
            found[name] = {"kind": name, "model": model, "models": list(service.models)}
    return {"providers": found or {"echo": {"kind": "echo", "model": "echo"}}}


def model_variable(name: str) -> str:
    """The environment variable of a service's model, derived from that of its key."""
    return KEY_VARIABLES[name][0].replace("_API_KEY", "_MODEL")


DEFAULT_FILE = "multirouter.yaml"
"""The configuration in the current folder that commands read when none is named."""


def default_file() -> str | None:
    """The configuration file of the current folder; None without one."""
    return DEFAULT_FILE if Path(DEFAULT_FILE).is_file() else None
