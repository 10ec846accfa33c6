"""Message on start: what the gateway serves, its URL, and commands that use it."""

from __future__ import annotations

import json
import os
import re
import socket
import sys

from multirouter.config import Settings

_MAX_MODELS = 12
"""Models that are listed by name."""


def report_start(settings: Settings, url: str) -> None:
    """Prints the message, and tells a service manager that the gateway serves.

    systemd sends no SIGHUP before that (`Type=notify`); until the program has handlers of its own,
    SIGHUP would end it.

    Args:
        settings: the settings that are served.
        url: the gateway's URL, without a slash at the end.

    Source: https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
    """
    sys.stdout.write(startup_message(settings, url))
    sys.stdout.flush()
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] in {"/", "@"}:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", re.sub("^@", "\0", address))


def startup_message(settings: Settings, url: str) -> str:
    """The message.

    Args:
        settings: the settings that are served.
        url: the gateway's URL, without a slash at the end.
    """
    sections = settings.document.providers
    models = [name for name in settings.models if "*" not in name]
    hidden = len(models) - _MAX_MODELS
    more = f" and {hidden} more" if hidden > 0 else ""
    keys = "none: serves this machine only" if settings.keys is None else "required"
    lines = [
        f"multirouter serves {url}/v1 (settings: {settings.source})",
        f"  providers  {', '.join(sections)}",
        f"  models     {', '.join(models[:_MAX_MODELS])}{more}",
        f"  keys       {keys}",
        f"  console    {url}/{'' if settings.keys is None else ' (sign in with an admin key)'}",
    ]
    if all((section.kind or name) == "echo" for name, section in sections.items()):
        lines.append("  NO PROVIDER KEY WAS FOUND: a built-in model echoes the prompt.")
        lines.append("  Set OPENAI_API_KEY, ANTHROPIC_API_KEY, ... and start again.")
    if settings.warnings:
        lines.append(f"  warnings   {len(settings.warnings)}: run `multirouter check`")
    model = "auto" if "auto" in settings.models else models[0] if models else "MODEL"
    keyed = settings.keys is not None
    return "\n".join(
        [*lines, "", curl(url, model, keyed=keyed), "", *agents(url, model, keyed=keyed), "", ""]
    )


def curl(url: str, model: str, *, keyed: bool) -> str:
    """A curl command to paste into a shell.

    Args:
        url: the gateway's URL.
        model: the model to ask.
        keyed: whether the gateway requires a key.
    """
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    key = " -H 'Authorization: Bearer YOUR_KEY'" if keyed else ""
    content_type = "-H 'Content-Type: application/json'"
    return f"  curl {url}/v1/chat/completions {content_type}{key} -d '{json.dumps(body)}'"


def agents(url: str, model: str, *, keyed: bool) -> list[str]:
    """The commands that start coding agents with the gateway as their service, to paste.

    Args:
        url: the gateway's URL.
        model: the model that they use.
        keyed: whether the gateway requires a key. The agents require one in any case.
    """
    key = "YOUR_KEY" if keyed else "unused"
    codex = f'name="multirouter",base_url="{url}/v1",env_key="MULTIROUTER_KEY",wire_api="responses"'
    options = f"-c model_provider=multirouter -c 'model_providers.multirouter={{{codex}}}'"
    return [
        f"  ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN={key} claude --model {model}",
        f"  MULTIROUTER_KEY={key} codex --model {model} {options}",
        f"  GOOGLE_GEMINI_BASE_URL={url} GEMINI_API_KEY={key} gemini --model {model}",
    ]
