"""Wire formats of the clouds: those of the vendors, with other addresses and few other fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from multirouter.providers.adapter import encode
from multirouter.providers.anthropic.wire import AnthropicWire
from multirouter.providers.calls.names import ToolNames
from multirouter.providers.transport.http import PreparedRequest

BEDROCK_VERSION = "bedrock-2023-05-31"
"""Source: Amazon Bedrock, "Anthropic Claude Messages API"."""

VERTEX_VERSION = "vertex-2023-10-16"
"""Source: Vertex AI, "Use Claude models"."""


class _CloudAnthropicWire(AnthropicWire):
    """Anthropic Messages at a cloud: the model is part of the address."""

    def _request(
        self, body: dict[str, Any], headers: dict[str, str], url: str, native: ToolNames | None
    ) -> PreparedRequest:
        model = body.pop("model", None)
        if not isinstance(model, str) or not model:
            raise self._errors.unsupported(
                "model", "is set neither on the provider nor in the request"
            )
        stream = bool(body.get("stream"))
        sent = {name: text for name, text in headers.items() if name.lower() != "anthropic-version"}
        with self._errors.reading_request():  # half a surrogate pair has no place in a URL
            url = self._base_url + self._place(quote(model, safe=""), stream=stream)
        self._change(body, sent)
        return PreparedRequest(url, sent, self._errors.encode_body(encode, body), native)

    def _place(self, model: str, *, stream: bool) -> str:
        """The path of a model, which is quoted."""
        raise NotImplementedError

    def _change(self, body: dict[str, Any], headers: dict[str, str]) -> None:
        """Changes what differs from the vendor's own API."""
        raise NotImplementedError


class BedrockAnthropicWire(_CloudAnthropicWire):
    """Anthropic Messages by Bedrock's InvokeModel."""

    def _place(self, model: str, *, stream: bool) -> str:
        return f"/model/{model}/{'invoke-with-response-stream' if stream else 'invoke'}"

    def _change(self, body: dict[str, Any], headers: dict[str, str]) -> None:
        body.pop("stream", None)
        body["anthropic_version"] = BEDROCK_VERSION
        for name in [name for name in headers if name.lower() == "anthropic-beta"]:
            features = [part.strip() for part in headers.pop(name).split(",")]
            body["anthropic_beta"] = [*body.get("anthropic_beta", ()), *filter(None, features)]


class VertexAnthropicWire(_CloudAnthropicWire):
    """Anthropic Messages by Vertex AI's rawPredict."""

    def _place(self, model: str, *, stream: bool) -> str:
        return (
            f"/publishers/anthropic/models/{model}:{'streamRawPredict' if stream else 'rawPredict'}"
        )

    def _change(self, body: dict[str, Any], headers: dict[str, str]) -> None:
        body["anthropic_version"] = VERTEX_VERSION


class AzureDeployments:
    """Addresses of Azure's API with a version: the deployment is part of the address.

    Args:
        base_url: the resource's endpoint.
        version: the version of the API (`2024-10-21`).
    """

    def __init__(self, base_url: str, version: str) -> None:
        self._base = f"{base_url}/openai"
        self._query = f"?api-version={quote(version, safe='')}"

    def __call__(self, path: str, body: Mapping[str, Any]) -> str:
        """The address for a path and a request.

        Args:
            path: the path after the base URL of OpenAI's own API.
            body: the request, whose model is the deployment.
        """
        model = str(body.get("model") or "")
        return f"{self._base}/deployments/{quote(model, safe='')}{path}{self._query}"
