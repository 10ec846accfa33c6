"""The kinds azure, bedrock and vertex of a configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from multirouter.testing.fakes import FakeProvider
from tests.config.files import config_error, load_config

pytestmark = [pytest.mark.backends("asyncio")]

CLOUDS = """
providers:
  azure: {{base_url: "{url}", model: gpt, api_key: azure-key-1}}
  bedrock: {{model: openai.gpt-oss, region: us-east-1, profile: p, max_tokens: 9}}
  claude: {{kind: bedrock, model: anthropic.claude, region: eu-west-1, api_key: bedrock-key}}
  vertex: {{model: gemini-3-pro, project: p, region: europe-west4}}
"""


async def test_clouds(tmp_path: Path) -> None:
    """A file makes them; each has its region as a failure domain."""
    async with FakeProvider() as fake:
        settings = load_config(tmp_path, CLOUDS.format(url=fake.url))
        async with settings.build(registry=CollectorRegistry()) as router:
            domains = {provider.name: provider.domains for provider in router.providers}
            assert domains["bedrock"] == ("bedrock", "us-east-1")
            assert domains["claude"] == ("bedrock", "eu-west-1")
            assert domains["vertex"] == ("vertex", "europe-west4")
            outcome = await router.call_outcome(
                {"messages": [{"role": "user", "content": "hi"}]}, route=["azure"]
            )
    # The fake has no such path: the request was sent to the address of Azure's v1 API.
    assert outcome.attempts[0].verdict.kind in {"not_found", "success"}


@pytest.mark.parametrize(
    ("provider", "message"),
    [
        ("azure: {api_key: azure-key-1}", "providers.azure.base_url: is required"),
        ("bedrock: {region: r}", "providers.bedrock.model: is required for kind bedrock"),
        ("vertex: {project: p}", "providers.vertex.model: is required for kind vertex"),
        ("vertex: {model: m, project: p, profile: x}", "only valid for kind bedrock"),
        ("openai: {api_key: sk-12345678, drops: [n]}", "kind anthropic or bedrock or vertex"),
    ],
)
def test_mistakes(tmp_path: Path, provider: str, message: str) -> None:
    """What a cloud needs is named, and what another kind has is refused."""
    assert message in config_error(tmp_path, f"providers: {{{provider}}}")
