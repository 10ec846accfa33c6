"""Signatures of requests to the clouds: a key in a header, and AWS Signature Version 4.

botocore finds, refreshes and uses the credentials of AWS. It is imported when a provider is made.
What of it may block runs in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from multirouter.errors import ConfigurationError
from multirouter.providers.api_keys.secret import Secret
from multirouter.providers.cloud.tokens import is_transient
from multirouter.providers.transport.http import PreparedRequest, SigningFailed


class KeyHeader:
    """Sends a key in a header.

    Args:
        header: the header's name.
        key: the key.
        prefix: text before the key (`Bearer `).
    """

    def __init__(self, header: str, key: Secret, prefix: str = "") -> None:
        self._header = header
        self._key = key
        self._prefix = prefix

    async def __call__(self, prepared: PreparedRequest) -> None:
        """See `adapter.Signer`."""
        prepared.headers[self._header] = f"{self._prefix}{self._key.reveal()}"


class AwsSignature:
    """Signs requests with AWS Signature Version 4.

    Args:
        label: the provider, for errors.
        region: the region of the service.
        credentials: botocore credentials; None for those that botocore finds when the first
            request is sent (environment, files, roles).
        profile: the profile of the shared files; None for the default.

    Raises:
        ConfigurationError: botocore is not installed.
    """

    service = "bedrock"

    def __init__(self, label: str, region: str, credentials: Any, profile: str | None) -> None:
        try:
            import botocore.auth  # type: ignore[import-untyped] # it has no types
            import botocore.awsrequest  # type: ignore[import-untyped] # it has no types
            import botocore.session  # type: ignore[import-untyped] # it has no types
        except ImportError:
            raise ConfigurationError(
                f"{label}.api_key",
                "is missing: pass api_key=, set AWS_BEARER_TOKEN_BEDROCK, or install "
                "multirouter[bedrock] for AWS credentials",
            ) from None
        self._region = region
        self._credentials = credentials
        self._session = partial_session(botocore.session.Session, profile)
        self._request = botocore.awsrequest.AWSRequest
        self._auth = botocore.auth.SigV4Auth

    async def __call__(self, prepared: PreparedRequest) -> None:
        """See `adapter.Signer`.

        Raises:
            SigningFailed: there are no credentials.
        """
        try:
            credentials = await self._current()
        except Exception as error:
            raise SigningFailed(str(error), transient=is_transient(error)) from error
        headers = {"Content-Type": prepared.headers["Content-Type"]}
        request = self._request("POST", prepared.url, data=prepared.body, headers=headers)
        self._auth(credentials, self.service, self._region).add_auth(request)
        prepared.headers.update(request.headers.items())

    async def _current(self) -> Any:
        """The credentials now. What may need the network or files runs in a thread."""
        if self._credentials is None:
            self._credentials = await asyncio.to_thread(self._find)
        needed = getattr(self._credentials, "refresh_needed", None)
        if needed is not None and needed():
            return await asyncio.to_thread(self._credentials.get_frozen_credentials)
        return self._credentials.get_frozen_credentials()

    def _find(self) -> Any:
        found = self._session().get_credentials()
        if found is None:
            raise LookupError("botocore found no AWS credentials")
        return found


def partial_session(make: Callable[..., Any], profile: str | None) -> Callable[[], Any]:
    """A function that makes a botocore session."""
    return lambda: make(profile=profile)
