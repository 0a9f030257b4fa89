"""Where a webhook listens: its URL, or a ready endpoint of its Service.

Endpoints are dialled directly, as kube-apiserver does with `--enable-aggregator-routing`: the API server may
run where nobody translates Service addresses. The certificate must still be the Service's.
"""

import random
from dataclasses import dataclass
from urllib.parse import urlsplit

from control_plane.resources.endpoint_slice import SERVICE_NAME_LABEL, EndpointSlice
from control_plane.resources.manifest import labels_of
from control_plane.resources.service import EXTERNAL_NAME, Service
from control_plane.resources.webhook_configuration import ServiceReference, WebhookClientConfig
from control_plane.store.api import ObjectNotFound, Store

_HTTPS = 443


class Unreachable(Exception):
    """There is nothing to dial."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to call."""

    url: str
    """As it is named in errors, with the names of the configuration."""
    server_name: str
    """What its certificate must be for; also the Host."""
    host: str
    """Address or name to dial; IPv6 without brackets."""
    port: int
    path: str


async def target_of(config: WebhookClientConfig, store: Store, rng: random.Random) -> Target:
    """Raises Unreachable."""
    if config.service is not None:
        return await _service_target(config.service, store, rng)
    url = config.url or ""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return Target(url, host, host, parts.port or _HTTPS, parts.path or "/")


async def _service_target(reference: ServiceReference, store: Store, rng: random.Random) -> Target:
    name = f"{reference.name}.{reference.namespace}.svc"
    path = reference.path or "/"
    host, port = await _endpoint(reference, store, rng)
    return Target(f"https://{name}:{reference.port}{path}", name, host, port, path)


async def _endpoint(reference: ServiceReference, store: Store, rng: random.Random) -> tuple[str, int]:
    try:
        service = Service.parse(await store.get("Service", reference.namespace, reference.name))
    except ObjectNotFound:
        raise Unreachable(f'service "{reference.name}" not found') from None
    if service.spec.type == EXTERNAL_NAME:
        return str(service.spec.external_name), reference.port
    port = next((one for one in service.spec.ports if one.port == reference.port), None)
    if port is None:
        raise Unreachable(f'no service port {reference.port} found for service "{reference.name}"')
    found = [
        (address, served.port)
        for manifest in (await store.list("EndpointSlice", reference.namespace)).items
        if labels_of(manifest).get(SERVICE_NAME_LABEL) == reference.name
        for entry in [EndpointSlice.parse(manifest)]
        for served in entry.ports
        if served.name == (port.name or "") and served.port is not None
        for endpoint in entry.endpoints
        if endpoint.is_ready
        for address in endpoint.addresses
    ]
    if not found:
        raise Unreachable(f'no endpoints available for service "{reference.name}"')
    return rng.choice(found)
