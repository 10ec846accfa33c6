"""What a gateway says when it starts: what it serves, where, and a line to paste."""

from __future__ import annotations

import json

from multirouter.config import Settings

_MOST = 12


def text(settings: Settings, url: str) -> str:
    """The greeting.

    Args:
        settings: what is served.
        url: where, without a last slash.
    """
    sections = settings.document.providers
    models = [name for name in settings.models if "*" not in name]
    more = f" and {len(models) - _MOST} more" if len(models) > _MOST else ""
    keys = "none: only this machine is served" if settings.keys is None else "asked for"
    lines = [
        f"multirouter serves {url}/v1 (settings: {settings.source})",
        f"  providers  {', '.join(sections)}",
        f"  models     {', '.join(models[:_MOST])}{more}",
        f"  keys       {keys}",
    ]
    if all((section.kind or name) == "echo" for name, section in sections.items()):
        lines.append("  NO PROVIDER'S KEY WAS FOUND: a built-in model echoes what it is told.")
        lines.append("  Set OPENAI_API_KEY, ANTHROPIC_API_KEY, ... and start again.")
    model = "auto" if "auto" in settings.models else models[0] if models else "MODEL"
    return "\n".join([*lines, "", curl(url, model, keyed=settings.keys is not None), "", ""])


def curl(url: str, model: str, *, keyed: bool) -> str:
    """A line to paste into a shell."""
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    key = " -H 'Authorization: Bearer YOUR_KEY'" if keyed else ""
    kind = "-H 'Content-Type: application/json'"
    return f"  curl {url}/v1/chat/completions {kind}{key} -d '{json.dumps(body)}'"
