"""The OpenAPI document: complete, valid, and true of what the endpoints answer."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from multirouter.gateway.openapi.descriptions import DESCRIPTIONS, described
from multirouter.gateway.openapi.document import openapi_document
from tests.gateway.harness import Answer, Harness, running_gateway

pytestmark = [pytest.mark.backends("asyncio")]

MODELS = {"m": "main", "*": "main"}
VALUES = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.text(max_size=4)
    | st.lists(st.integers(0, 2), max_size=2)
    | st.dictionaries(st.sampled_from(["type", "text", "role", "content"]), st.text(max_size=3))
)


def validator(document: Any, schema: Any) -> Draft202012Validator:
    """Validates against a schema that refers to others of the document."""
    return Draft202012Validator({**schema, "components": document["components"]})


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    """Path, method and description of each operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def example(document: Any, schema: Any, depth: int = 0) -> Any:
    """A small value that a schema allows."""
    if "$ref" in schema:
        return example(document, document["components"]["schemas"][schema["$ref"].split("/")[-1]])
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if "anyOf" in schema:
        return example(document, schema["anyOf"][0], depth + 1)
    kind = schema.get("type", "object")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        known = schema.get("properties", {})
        names = schema.get("required", ())
        return {name: example(document, known[name], depth + 1) for name in names}
    if kind == "array":
        items = schema.get("items", {"type": "string"})
        return [example(document, items, depth + 1)]
    return {"string": "m", "integer": 1, "number": 1.0, "boolean": False}[kind]


def check(document: Any, path: str, method: str, answer: Answer) -> None:
    """The status of an answer is documented, and its body has the documented shape."""
    operation = document["paths"][path][method.lower()]
    documented = operation["responses"]
    assert str(answer.status) in documented, (path, method, answer.status, answer.data[:300])
    kind = answer.headers.get("Content-Type", "").split(";")[0]
    content = documented[str(answer.status)].get("content", {})
    if content and answer.data:
        assert kind in content, (path, kind)
        schema = content[kind].get("schema")
        if schema is not None and kind == "application/json":
            validator(document, schema).validate(answer.json)


async def document_of(harness: Harness) -> Any:
    """The document that the gateway serves."""
    async with harness.http.get(f"{harness.url}/openapi.json") as response:
        assert response.status == 200
        return await response.json()


async def test_the_document_is_valid_and_complete() -> None:
    """Every endpoint of the table is in it, and every endpoint has a description of its own."""
    async with running_gateway([], models=MODELS) as harness:
        document = await document_of(harness)
        validate(document)
        table = harness.gateway._endpoints.all()
        named = {(method, path) for path, method, _ in operations(document)}
        assert {key for endpoint in table for key in described(*endpoint)} == named
        public = {key for key in named if not key[1].startswith(("/admin", "/console"))}
        assert public - {("GET", "/")} <= DESCRIPTIONS.keys()
        assert DESCRIPTIONS.keys() <= named
        assert await document_of(harness) == document


async def test_every_operation_answers_as_documented() -> None:
    """An example of each request, and the same without its fields, with garbage and no body."""
    async with running_gateway([], models=MODELS) as harness:
        document = await document_of(harness)
        for path, method, operation in operations(document):
            if path.startswith(("/admin", "/console")) or path == "/":
                continue
            url = harness.url + re.sub(r"\{\w+\}", "m", path)
            bodies: list[bytes] = [b""]
            if "requestBody" in operation:
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                request = example(document, schema)
                bodies += [json.dumps(request).encode(), b"{}", b"[1", b"\xff"]
            for body in bodies:
                async with harness.http.request(method, url, data=body) as response:
                    answer = Answer(response.status, response.headers, await response.read())
                check(document, path, method, answer)


async def test_answers_of_each_format() -> None:
    """The examples of the three chat formats are answered, whole and streamed."""
    async with running_gateway([], models=MODELS) as harness:
        document = await document_of(harness)
        for path, stream in (
            ("/v1/chat/completions", {"stream": True}),
            ("/v1/messages", {"stream": True}),
            ("/v1beta/models/{model}:generateContent", None),
            ("/v1/embeddings", None),
        ):
            operation = document["paths"][path]["post"]
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            for more in ({}, stream):
                if more is None:
                    continue
                body = json.dumps({**example(document, schema), **more}).encode()
                answer = await harness.post(path.replace("{model}", "m"), body)
                assert answer.status == 200, (path, answer.data)
                check(document, path, "POST", answer)


@pytest.mark.parametrize("fault", ["fail-500", "fail-429", "bad-key", "no-model", "filtered"])
async def test_failures_answer_as_documented(fault: str) -> None:
    """The errors of providers are in the document, in the format of each endpoint."""
    async with running_gateway([fault], models=MODELS) as harness:
        document = await document_of(harness)
        for path in ("/v1/chat/completions", "/v1/messages"):
            operation = document["paths"][path]["post"]
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            answer = await harness.post(path, json.dumps(example(document, schema)).encode())
            assert answer.status >= 400
            check(document, path, "POST", answer)


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(rng=st.randoms(use_true_random=False), values=st.lists(VALUES, min_size=9, max_size=9))
@pytest.mark.real_io
def test_mutated_requests_answer_as_documented(rng: Any, values: list[Any]) -> None:
    """Whatever the fields of a request are, the answer is one of the documented ones."""

    async def send_all() -> None:
        async with running_gateway([], models=MODELS) as harness:
            document = await document_of(harness)
            for path, method, operation in operations(document):
                if "requestBody" not in operation or path.startswith("/admin"):
                    continue
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                name = schema["$ref"].split("/")[-1]
                fields = sorted(document["components"]["schemas"][name]["properties"])
                fields.remove("timeout") if "timeout" in fields else None  # a real wait
                chosen = {rng.choice([*fields, "x"]): rng.choice(values) for _ in range(3)}
                body = json.dumps({**example(document, schema), **chosen}).encode()
                answer = await harness.post(re.sub(r"\{\w+\}", "m", path), body)
                if not answer.broken:
                    check(document, path, method, answer)

    asyncio.run(send_all())


def test_endpoints_without_a_description() -> None:
    """An endpoint that the package does not know is in the document all the same."""
    document = openapi_document([("POST", "/own/*")])
    validate(document)
    assert "/own/{name}" in document["paths"]
