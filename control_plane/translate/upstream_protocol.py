"""What a cluster speaks to its endpoints (pure): `HttpProtocolOptions`, and ALPN inside mesh TLS."""

from typing import Final

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.core.v3.protocol_pb2 import Http1ProtocolOptions, Http2ProtocolOptions
from control_plane.api.envoy.config.core.v3.protocol_pb2 import HttpProtocolOptions as CommonOptions
from control_plane.api.envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from control_plane.discovery.model import PortProtocol
from control_plane.translate import names
from control_plane.translate.tls import packed

ALPN: Final = {
    PortProtocol.HTTP: (names.ALPN_HTTP,),
    PortProtocol.HTTP2: (names.ALPN_HTTP2,),
    PortProtocol.UNDECLARED: (names.ALPN_HTTP,),
    PortProtocol.TCP: (names.ALPN_TCP,),
}
"""What says inside mesh TLS which protocol it carries."""

_KEY: Final = HttpProtocolOptions.DESCRIPTOR.full_name
_Explicit = HttpProtocolOptions.ExplicitHttpConfig
_Auto = HttpProtocolOptions.AutoHttpConfig


def speak(cluster: Cluster, protocol: PortProtocol) -> None:
    """That to the endpoints; HTTP/1.1 where it is not declared, nothing for opaque bytes."""
    if protocol is PortProtocol.TCP:
        return
    explicit = _Explicit(http_protocol_options=Http1ProtocolOptions())
    if protocol is PortProtocol.HTTP2:
        explicit = _Explicit(http2_protocol_options=Http2ProtocolOptions())
    options = HttpProtocolOptions(explicit_http_config=explicit)
    cluster.typed_extension_protocol_options[_KEY].CopyFrom(packed(options))


def let_choose(cluster: Cluster) -> None:
    """Endpoints with TLS choose HTTP/2 or HTTP/1.1 by ALPN; the others are spoken HTTP/1.1 to."""
    auto = _Auto(http_protocol_options=Http1ProtocolOptions(), http2_protocol_options=Http2ProtocolOptions())
    cluster.typed_extension_protocol_options[_KEY].CopyFrom(packed(HttpProtocolOptions(auto_config=auto)))


def speaks_http(cluster: Cluster) -> bool:
    """Of whatever version."""
    return _KEY in cluster.typed_extension_protocol_options


def speaks_http2(cluster: Cluster) -> bool:
    return speaks_http(cluster) and _options(cluster).explicit_http_config.HasField("http2_protocol_options")


def add_common(cluster: Cluster, common: CommonOptions) -> None:
    """`common_http_protocol_options`, of a cluster that speaks HTTP."""
    options = _options(cluster)
    options.common_http_protocol_options.CopyFrom(common)
    cluster.typed_extension_protocol_options[_KEY].CopyFrom(packed(options))


def _options(cluster: Cluster) -> HttpProtocolOptions:
    found = HttpProtocolOptions()
    cluster.typed_extension_protocol_options[_KEY].Unpack(found)
    return found
