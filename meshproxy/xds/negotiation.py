"""`HttpProtocolOptions.auto_config`: endpoints with TLS choose the version of HTTP by ALPN (pure)."""

from __future__ import annotations

from dataclasses import replace

from meshproxy.config.model import HTTP2_NAMES, Cluster, UpstreamTls
from meshproxy.config.tls import OriginTls
from meshproxy.errors import ConfigError


def negotiating(cluster: Cluster, path: str) -> Cluster:
    """`cluster` offers HTTP/2 and HTTP/1.1, in this order, to its endpoints with mesh TLS; what does not ask
    for HTTP/2 (health checks, upgrades, plaintext) goes on as HTTP/1.1. Raises ConfigError."""
    sockets = (cluster.tls, *(match.tls for match in cluster.transport_socket_matches))
    offered = {tls.alpn_protocols for tls in sockets if isinstance(tls, UpstreamTls)}
    alpn = offered.pop() if len(offered) == 1 else ()
    is_pair = len(alpn) == 2 and alpn[0] in HTTP2_NAMES and alpn[1] not in HTTP2_NAMES
    if not is_pair or any(isinstance(tls, OriginTls) for tls in sockets):
        raise ConfigError(
            f"{path}: auto_config needs mesh TLS with alpn_protocols of istio-h2 and a name for HTTP/1.1"
        )
    return replace(
        cluster,
        http2_alpn=alpn,
        tls=_plain(cluster.tls, alpn[1]),
        transport_socket_matches=tuple(
            replace(match, tls=_plain(match.tls, alpn[1])) for match in cluster.transport_socket_matches
        ),
    )


def _plain(tls: UpstreamTls | OriginTls | None, alpn: str) -> UpstreamTls | OriginTls | None:
    return replace(tls, alpn_protocols=(alpn,)) if isinstance(tls, UpstreamTls) else tls
