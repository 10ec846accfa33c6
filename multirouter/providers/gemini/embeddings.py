"""Wire format of Gemini's embeddings; requests and responses are OpenAI's."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Any

from multirouter.providers.adapter import Translator
from multirouter.providers.canonical import Embedding, EmbeddingRequest, EmbeddingResponse
from multirouter.providers.gemini.wire import GeminiAddress
from multirouter.providers.transport.http import PreparedRequest


class GeminiEmbeddingsWire(GeminiAddress):
    """Wire format of batchEmbedContents. One text is sent as a batch of one."""

    def prepare(self, request: EmbeddingRequest, *, stream: bool) -> PreparedRequest:
        """See `Wire.prepare`. Token ids are rejected, and `stream` has no effect."""
        model = self._model_for(request)
        inputs: object = request.get("input")
        texts = [inputs] if isinstance(inputs, str) else inputs
        if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
            raise self._errors.unsupported(
                "input", "must be a text or texts; token ids are only valid for their own model"
            )
        one: dict[str, Any] = {"model": f"models/{model}"}
        dimensions = request.get("dimensions")
        if dimensions:
            one["outputDimensionality"] = dimensions
        requests = [{**one, "content": {"parts": [{"text": text}]}} for text in texts]
        return self._prepared(model, "batchEmbedContents", {"requests": requests})

    def read(self, body: dict[str, Any], request: EmbeddingRequest) -> EmbeddingResponse:
        """See `Wire.read`. Only newer models report tokens; otherwise they are 0."""
        with self._errors.reading_response():
            vectors = [item["values"] for item in body["embeddings"]]
            tokens = (body.get("usageMetadata") or {}).get("promptTokenCount") or 0
        packed = request.get("encoding_format") == "base64"
        data: list[Embedding] = [
            {
                "object": "embedding",
                "index": index,
                "embedding": _packed(vector) if packed else vector,
            }
            for index, vector in enumerate(vectors)
        ]
        return {
            "object": "list",
            "data": data,
            "model": self._model_for(request),
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }

    def translator(self, request: EmbeddingRequest) -> Translator:
        """Not used: embeddings are not streamed."""
        raise NotImplementedError


def _packed(vector: list[float]) -> str:
    """Returns base64 of little-endian float32, OpenAI's encoding."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
