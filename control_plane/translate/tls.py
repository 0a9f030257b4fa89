"""Transport sockets between sidecars (pure): mutual TLS 1.3, identities by SDS names `default` and `ROOTCA`.

The private key never crosses ADS: a sidecar of ours answers the two names from its identity agent, stock
Envoy reads them from files.
"""

from collections.abc import Iterable

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue, UInt32Value

from control_plane.api.envoy.config.core.v3.base_pb2 import TransportSocket
from control_plane.api.envoy.config.core.v3.config_source_pb2 import (
    AggregatedConfigSource,
    ApiVersion,
    ConfigSource,
    PathConfigSource,
)
from control_plane.api.envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer_pb2 import RawBuffer
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateValidationContext,
    SubjectAltNameMatcher,
    TlsParameters,
)
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.secret_pb2 import SdsSecretConfig
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    CommonTlsContext,
    DownstreamTlsContext,
    UpstreamTlsContext,
)
from control_plane.api.envoy.type.matcher.v3.string_pb2 import StringMatcher
from control_plane.translate import names

IDENTITY_NAME = "default"
ROOT_NAME = "ROOTCA"
IDENTITY_FILE = "default.yaml"
ROOT_FILE = "rootca.yaml"
_MAX_SESSION_KEYS = 256
"""Of a cluster. Envoy keeps one unless told otherwise and offers each once: connections dialled at the same
moment could not resume."""


def packed(message: Message) -> AnyMessage:
    """`message` in an Any, serialised the same way every time."""
    box = AnyMessage()
    box.Pack(message, deterministic=True)
    return box


def ads_source() -> ConfigSource:
    """Delivered on the same ADS stream."""
    return ConfigSource(ads=AggregatedConfigSource(), resource_api_version=ApiVersion.V3)


def raw_buffer() -> TransportSocket:
    return TransportSocket(name="envoy.transport_sockets.raw_buffer", typed_config=packed(RawBuffer()))


def upstream_socket(
    sni: str, alpn: tuple[str, ...], identities: Iterable[str], secrets_dir: str
) -> TransportSocket:
    """Client side: the server must prove one of `identities` (SPIFFE ids), and chooses one of `alpn`."""
    matchers = [_uri(StringMatcher(exact=identity)) for identity in identities]
    context = UpstreamTlsContext(
        sni=sni,
        common_tls_context=_common([*alpn], matchers, secrets_dir),
        max_session_keys=UInt32Value(value=_MAX_SESSION_KEYS),
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def upstream_socket_of_anyone(alpn: str, prefix: str, secrets_dir: str) -> TransportSocket:
    """Client side: any identity that begins with `prefix` may answer."""
    context = UpstreamTlsContext(
        common_tls_context=_common([alpn], [_uri(StringMatcher(prefix=prefix))], secrets_dir),
        max_session_keys=UInt32Value(value=_MAX_SESSION_KEYS),
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def downstream_socket(trust_domain: str, secrets_dir: str) -> TransportSocket:
    """Server side: every identity of the trust domain may connect; authorisation is another layer's
    business."""
    matchers = [_uri(StringMatcher(prefix=f"spiffe://{trust_domain}/"))]
    context = DownstreamTlsContext(
        common_tls_context=_common([*names.ALPN_REQUESTS, names.ALPN_TCP], matchers, secrets_dir),
        require_client_certificate=BoolValue(value=True),
    )
    return TransportSocket(name="envoy.transport_sockets.tls", typed_config=packed(context))


def _uri(matcher: StringMatcher) -> SubjectAltNameMatcher:
    return SubjectAltNameMatcher(san_type=SubjectAltNameMatcher.URI, matcher=matcher)


def _common(alpn: list[str], matchers: list[SubjectAltNameMatcher], secrets_dir: str) -> CommonTlsContext:
    validation = CommonTlsContext.CombinedCertificateValidationContext(
        default_validation_context=CertificateValidationContext(match_typed_subject_alt_names=matchers),
        validation_context_sds_secret_config=_secret(ROOT_NAME, ROOT_FILE, secrets_dir),
    )
    return CommonTlsContext(
        # Stock Envoy offers at most TLS 1.2 as a client unless it is told otherwise.
        tls_params=TlsParameters(
            tls_minimum_protocol_version=TlsParameters.TLSv1_3,
            tls_maximum_protocol_version=TlsParameters.TLSv1_3,
        ),
        alpn_protocols=alpn,
        tls_certificate_sds_secret_configs=[_secret(IDENTITY_NAME, IDENTITY_FILE, secrets_dir)],
        combined_validation_context=validation,
    )


def _secret(name: str, file_name: str, secrets_dir: str) -> SdsSecretConfig:
    if not secrets_dir:
        return SdsSecretConfig(name=name, sds_config=ads_source())
    source = ConfigSource(
        path_config_source=PathConfigSource(path=f"{secrets_dir}/{file_name}"),
        resource_api_version=ApiVersion.V3,
    )
    return SdsSecretConfig(name=name, sds_config=source)
