"""Listeners, routes and secrets of one Gateway (pure).

One listener for each port, with real sockets: `<namespace>/<gateway>/<port>`. HTTP listeners of a port share
a chain and a table; HTTPS and TLS listeners have a chain each, told by server name. Certificates are named
only, and delivered by SDS.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from google.protobuf.wrappers_pb2 import BoolValue

from control_plane.api.envoy.config.core.v3.base_pb2 import DataSource, TransportSocket
from control_plane.api.envoy.config.listener.v3.listener_components_pb2 import (
    Filter,
    FilterChain,
    FilterChainMatch,
    ListenerFilter,
)
from control_plane.api.envoy.config.listener.v3.listener_pb2 import Listener
from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from control_plane.api.envoy.extensions.filters.listener.proxy_protocol.v3.proxy_protocol_pb2 import (
    ProxyProtocol,
)
from control_plane.api.envoy.extensions.filters.listener.tls_inspector.v3.tls_inspector_pb2 import (
    TlsInspector,
)
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateValidationContext,
    TlsCertificate,
    TlsParameters,
)
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.secret_pb2 import SdsSecretConfig, Secret
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    CommonTlsContext,
    DownstreamTlsContext,
)
from control_plane.attachment.gateway_listener import ServedListener, served_listeners
from control_plane.attachment.hostname import specificity
from control_plane.attachment.ingress import with_ingresses
from control_plane.discovery.gateway import PROXY_PROTOCOL, TRUSTED_HOPS, GatewayObject
from control_plane.discovery.model import ObjectName
from control_plane.discovery.registry import Registry
from control_plane.discovery.route import StreamRoute
from control_plane.translate import names
from control_plane.translate.gateway_hosts import Permitted, virtual_hosts
from control_plane.translate.listeners import bound, gateway_http
from control_plane.translate.routes import filters_in_use, table_of
from control_plane.translate.settings import Client
from control_plane.translate.stream_routes import stream_proxy
from control_plane.translate.tls import ads_source, packed

MAX_TRUSTED_HOPS = 32

GatewayResource = Listener | RouteConfiguration | Secret


def secret_name(key: ObjectName) -> str:
    """SDS name of a Secret."""
    return f"kubernetes://{key.namespace}/{key.name}"


def gateway_resources(
    gateway: GatewayObject, registry: Registry, client: Client
) -> Iterator[GatewayResource]:
    """Everything a pod of the Gateway has beside clusters and endpoints."""
    own = [one for one in served_listeners(gateway, registry) if one.is_served]
    usable = with_ingresses(gateway, own, registry)
    ports = sorted({one.listener.port for one in usable})
    for port in ports:
        of_port = [one for one in usable if one.listener.port == port]
        yield from _port_resources(gateway, port, of_port, registry, client)
    for key in sorted({one.certificate for one in usable if one.certificate is not None}):
        certificate = registry.gateways.certificates[key]
        yield Secret(
            name=secret_name(key),
            tls_certificate=TlsCertificate(
                certificate_chain=DataSource(inline_bytes=certificate.chain),
                private_key=DataSource(inline_bytes=certificate.key),
            ),
        )


def _port_resources(
    gateway: GatewayObject, port: int, served: list[ServedListener], registry: Registry, client: Client
) -> Iterator[GatewayResource]:
    name = f"{gateway.key}/{port}"
    listener = bound(name, port)
    if gateway.annotation(PROXY_PROTOCOL) == "true":
        listener.listener_filters.append(
            ListenerFilter(name="envoy.filters.listener.proxy_protocol", typed_config=packed(ProxyProtocol()))
        )
    tables: list[RouteConfiguration] = []
    match served[0].listener.protocol:
        case "HTTP":
            http = _http(gateway, f"{gateway.key}/http-{port}", served, registry, client, tables)
            listener.filter_chains.append(FilterChain(name="http", filters=[http]))
        case "TCP":
            proxy = _stream_filter(served[0], registry)
            if proxy is not None:
                listener.filter_chains.append(FilterChain(name=served[0].listener.name, filters=[proxy]))
        case _:
            listener.listener_filters.append(
                ListenerFilter(
                    name="envoy.filters.listener.tls_inspector", typed_config=packed(TlsInspector())
                )
            )
            taken: set[tuple[str, ...]] = set()
            for one in sorted(served, key=lambda one: specificity(one.listener.hostname or ""), reverse=True):
                for chain in _tls_chains(gateway, one, registry, client, tables):
                    match = tuple(chain.filter_chain_match.server_names)
                    if match not in taken:  # two routes for one name: the older holds
                        taken.add(match)
                        listener.filter_chains.append(chain)
    if listener.filter_chains:
        yield listener
        yield from tables


# --- HTTP ---------------------------------------------------------------------------------------------------


def _http(
    gateway: GatewayObject,
    table: str,
    served: list[ServedListener],
    registry: Registry,
    client: Client,
    tables: list[RouteConfiguration],
) -> Filter:
    hosts = virtual_hosts(served, registry, client)
    used: frozenset[str] = frozenset()
    for host in hosts:
        used |= filters_in_use(host)
    made = table_of(table, hosts)
    made.ignore_port_in_host_matching = True  # a port in Host says nothing about which host it is
    tables.append(made)
    return gateway_http(table, used, trusted_hops(gateway), shows_client=bool(served[0].client_authorities))


def trusted_hops(gateway: GatewayObject) -> int:
    """Of the annotation; what is no number from 0 to 32 trusts nobody."""
    text = gateway.annotation(TRUSTED_HOPS)
    return int(text) if text.isascii() and text.isdecimal() and int(text) <= MAX_TRUSTED_HOPS else 0


# --- TLS ----------------------------------------------------------------------------------------------------


def _tls_chains(
    gateway: GatewayObject,
    one: ServedListener,
    registry: Registry,
    client: Client,
    tables: list[RouteConfiguration],
) -> Iterator[FilterChain]:
    listener, name = one.listener, one.listener.name
    if listener.protocol == "HTTPS":
        http = _http(gateway, f"{gateway.key}/{name}", [one], registry, client, tables)
        yield FilterChain(
            name=name,
            filter_chain_match=_match([listener.hostname or ""]),
            filters=[http],
            transport_socket=_socket(one),
        )
        return
    for route, hosts in sorted(one.routes, key=lambda item: (item[0].created_at, item[0].key)):
        if isinstance(route, StreamRoute):
            for host in hosts:
                chain = FilterChain(
                    name=f"{name}|{route.key}|{host or '*'}",
                    filter_chain_match=_match([host]),
                    filters=[stream_proxy(route, Permitted(registry, route.kind, route.key.namespace))],
                )
                if one.certificate is not None:
                    chain.transport_socket.CopyFrom(_socket(one))
                yield chain


def _match(hosts: Collection[str]) -> FilterChainMatch:
    """An empty host is every name."""
    return FilterChainMatch(transport_protocol="tls", server_names=[host for host in hosts if host])


def _stream_filter(one: ServedListener, registry: Registry) -> Filter | None:
    """Of a TCP listener: the oldest route holds."""
    routes = [route for route, _ in one.routes if isinstance(route, StreamRoute)]
    if not routes:
        return None
    route = min(routes, key=lambda route: (route.created_at, route.key))
    return stream_proxy(route, Permitted(registry, route.kind, route.key.namespace))


def _socket(one: ServedListener) -> TransportSocket:
    assert one.certificate is not None
    common = CommonTlsContext(
        tls_params=TlsParameters(
            tls_minimum_protocol_version=TlsParameters.TLSv1_2,
            tls_maximum_protocol_version=TlsParameters.TLSv1_3,
        ),
        alpn_protocols=names.ALPN_OUTSIDE if one.listener.protocol == "HTTPS" else [],
        tls_certificate_sds_secret_configs=[
            SdsSecretConfig(name=secret_name(one.certificate), sds_config=ads_source())
        ],
    )
    context = DownstreamTlsContext(common_tls_context=common)
    if one.client_authorities:
        trusted = DataSource(inline_string=one.client_authorities)
        context.common_tls_context.validation_context.CopyFrom(
            CertificateValidationContext(trusted_ca=trusted)
        )
        context.require_client_certificate.CopyFrom(BoolValue(value=True))
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))
