"""Gemini's embeddings in OpenAI's form."""

from __future__ import annotations

import base64
import struct
from collections.abc import Sequence
from typing import Any

from multirouter.providers.adapter import Prepared, Translator
from multirouter.providers.canonical import Embedding, EmbeddingRequest, EmbeddingResponse
from multirouter.providers.gemini.wire import GeminiAddress


class GeminiEmbeddingsWire(GeminiAddress):
    """Embeddings, always as a batch."""

    def prepare(self, request: EmbeddingRequest, *, stream: bool) -> Prepared:
        """See `Wire.prepare`; token ids mean nothing here, and there is nothing to stream."""
        model = self._model_for(request)
        given: object = request.get("input")
        texts = [given] if isinstance(given, str) else given
        if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
            raise self._failures.inexpressible("input", "must be texts: token ids differ by model")
        one: dict[str, Any] = {"model": f"models/{model}"}
        dimensions = request.get("dimensions")
        if dimensions:
            one["outputDimensionality"] = dimensions
        asked = [{**one, "content": {"parts": [{"text": text}]}} for text in texts]
        return self._prepared(model, "batchEmbedContents", {"requests": asked})

    def read(self, body: dict[str, Any], request: EmbeddingRequest) -> EmbeddingResponse:
        """See `Wire.read`; tokens are told by newer models only, and are 0 otherwise."""
        with self._failures.unreadable():
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
        """Embeddings do not stream."""
        raise NotImplementedError


def _packed(vector: list[float]) -> str:
    """Base64 of little-endian float32, as OpenAI packs it."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
