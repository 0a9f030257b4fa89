"""One call of a webhook: a POST over TLS, bounded in time and size, to whom its `caBundle` vouches for.

Each call has a connection of its own: a webhook that was started again must not cost a request. Redirects
are not followed, for they would carry what is asked to somebody whom nobody has configured.
"""

import asyncio
import base64
import functools
import json
import random
import ssl
from collections.abc import Iterator
from http import HTTPStatus

import httpx

from control_plane.apiserver.webhook_target import Target, Unreachable, target_of
from control_plane.resources.manifest import Manifest
from control_plane.resources.webhook_configuration import Webhook
from control_plane.store.api import Store

MAX_ANSWER = 3 * 1024 * 1024
"""Bytes; as much as a request of the API may have."""
SECOND = 1.0
"""Unit of `timeoutSeconds`; tests have shorter ones."""
_MAX_SHOWN = 256
_CACHED_CONTEXTS = 64
_X509_ERRORS = {
    9: "certificate has expired or is not yet valid",
    10: "certificate has expired or is not yet valid",
    18: "certificate signed by unknown authority",
    19: "certificate signed by unknown authority",
    20: "certificate signed by unknown authority",
    21: "certificate signed by unknown authority",
}
"""Go's words, as kubectl's users know them, for OpenSSL's codes (`x509_vfy.h`)."""


class CallFailed(Exception):
    """There is no answer. The message is that of kube-apiserver, as far as both can know the same."""


class WebhookClient:
    """Calls webhooks; holds no connections."""

    def __init__(self, store: Store, rng: random.Random) -> None:
        """`store` knows the Services and their endpoints."""
        self._store = store
        self._rng = rng

    async def call(self, webhook: Webhook, review: Manifest) -> bytes:
        """The body of the answer. Raises CallFailed."""
        config, seconds = webhook.client_config, webhook.timeout_seconds
        try:
            target = await target_of(config, self._store, self._rng)
        except Unreachable as error:
            raise CallFailed(str(error)) from error
        query = f"?timeout={seconds}s"
        try:
            context = _tls(base64.b64decode(config.ca_bundle).decode())
            async with asyncio.timeout(seconds * SECOND):
                return await _post(target, query, context, json.dumps(review).encode())
        except TimeoutError as error:
            raise CallFailed(f'Post "{target.url}{query}": context deadline exceeded') from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise CallFailed(f'Post "{target.url}{query}": {_reason(error, target)}') from error


async def _post(target: Target, query: str, context: ssl.SSLContext, body: bytes) -> bytes:
    host = f"[{target.host}]" if ":" in target.host else target.host
    headers = {
        "Host": target.server_name,
        "Content-Type": "application/json",
        "Accept": "application/json",
        "Accept-Encoding": "identity",
        "Connection": "close",
    }
    async with (
        httpx.AsyncClient(verify=context, trust_env=False, timeout=None, follow_redirects=False) as client,  # noqa: S113 — the caller bounds the whole call
        client.stream(
            "POST",
            f"https://{host}:{target.port}{target.path}{query}",
            content=body,
            headers=headers,
            extensions={"sni_hostname": target.server_name},
        ) as response,
    ):
        content = await _bounded(response)
        _check_status(response, content)
        return content


async def _bounded(response: httpx.Response) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MAX_ANSWER:
            raise CallFailed(f"the answer is larger than {MAX_ANSWER} bytes")
    return bytes(content)


def _check_status(response: httpx.Response, content: bytes) -> None:
    """Raises CallFailed unless it is 200."""
    if response.status_code == HTTPStatus.OK:
        return
    if response.has_redirect_location:
        raise CallFailed(
            f"the server answered {response.status_code} with a redirect to "
            f"{response.headers['location'][:_MAX_SHOWN]!r}; redirects of webhooks are not followed"
        )
    if response.status_code == HTTPStatus.NOT_FOUND:
        raise CallFailed("the server could not find the requested resource")
    if response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        shown = content[:_MAX_SHOWN].decode("utf-8", "replace")
        raise CallFailed(f'an error on the server ("{shown}") has prevented the request from succeeding')
    raise CallFailed(f"the server rejected our request for an unknown reason: status {response.status_code}")


@functools.lru_cache(_CACHED_CONTEXTS)
def _tls(ca_pem: str) -> ssl.SSLContext:
    """Raises ssl.SSLError for roots that cannot be read."""
    context = ssl.create_default_context(cadata=ca_pem or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _reason(error: Exception, target: Target) -> str:
    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"tls: failed to verify certificate: x509: {_x509_reason(cause)}"
    for cause in chain:
        if isinstance(cause, ConnectionRefusedError):
            return f"dial tcp {target.host}:{target.port}: connect: connection refused"
    return str(error) or type(error).__name__


def _x509_reason(error: ssl.SSLCertVerificationError) -> str:
    return _X509_ERRORS.get(error.verify_code, error.verify_message)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it, as far as it is told."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for one in error.exceptions:
                yield from _causes(one)
        error = error.__cause__ or error.__context__
