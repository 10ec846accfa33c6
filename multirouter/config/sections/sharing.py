"""The section `sharing` of a configuration file."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr

from multirouter.config.pydantic_types import DocumentedSection, FromSettings, Number
from multirouter.core.sharing.quorum import Quorum
from multirouter.sharing.settings import INTERVAL, START_TIMEOUT


class SharingSection(DocumentedSection):
    """State that several gateways share in Redis or Valkey; requires the extra `redis`."""

    url: SecretStr
    """Where the state is: redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://."""
    namespace: str = "multirouter"
    """Prefix of all keys; gateways of different namespaces know nothing of each other."""
    quorum: Annotated[Quorum, FromSettings()] | None = None
    """When the word of other processes is believed."""
    interval: Number = Field(default=INTERVAL, ge=0.1, le=60)
    """Seconds between two reports of a process."""
    start_timeout: Number = Field(default=START_TIMEOUT, ge=0, le=60)
    """Maximum wait for the state before a process serves, seconds."""
    timeout: Number = Field(default=1.0, ge=0.01, le=60)
    """Time after which a command counts as lost, seconds."""
    host: str | None = Field(default=None, min_length=1)
    """Name of this machine, whose processes share a network. Default: its host name."""
