"""Transport sockets (pure): the two TLS contexts, restricted to what the sidecar's identity agent can serve.

The private key never crosses ADS: a context names the agent's certificate (`default`) and trust bundle
(`ROOTCA`), and the peer is always verified against that bundle. Inside the mesh it is TLS 1.3, whether
`tls_params` says so or nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from control_plane.api.envoy.config.core.v3.base_pb2 import TransportSocket
from control_plane.api.envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer_pb2 import RawBuffer
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    SubjectAltNameMatcher,
    TlsParameters,
)
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.secret_pb2 import SdsSecretConfig
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    CommonTlsContext,
    DownstreamTlsContext,
    UpstreamTlsContext,
)
from meshproxy.config.model import DownstreamTls, UpstreamTls
from meshproxy.config.tls import EdgeTls, OriginTls
from meshproxy.xds.outside_tls import edge_tls, is_edge, is_origin, origin_tls
from meshproxy.xds.strict import enum_name, require, type_name, unpack

IDENTITY_SECRET = "default"  # noqa: S105  # the name of a secret, not a secret
ROOT_SECRET = "ROOTCA"  # noqa: S105

_RAW_BUFFER = RawBuffer.DESCRIPTOR.full_name
_DEFAULT_OR_1_3 = (TlsParameters.TLS_AUTO, TlsParameters.TLSv1_3)


@dataclass(frozen=True, slots=True)
class _Common:
    alpn: tuple[str, ...]
    exact: tuple[str, ...]
    prefixes: tuple[str, ...]


def upstream_tls(socket: TransportSocket, path: str) -> UpstreamTls | OriginTls | None:
    """None for `raw_buffer`. Raises ConfigError."""
    path = f"{path}.transport_socket"
    if _is_plain(socket, path):
        return None
    context = unpack(socket.typed_config, UpstreamTlsContext, path)
    if is_origin(context):
        return origin_tls(context, path)
    common = _common(context.common_tls_context, f"{path}.common_tls_context")
    limited = context.max_session_keys.value if context.HasField("max_session_keys") else None
    return UpstreamTls(context.sni, common.alpn, common.exact, limited, common.prefixes)


def downstream_tls(socket: TransportSocket, path: str) -> DownstreamTls | EdgeTls | None:
    """None for `raw_buffer`. Raises ConfigError."""
    path = f"{path}.transport_socket"
    if _is_plain(socket, path):
        return None
    context = unpack(socket.typed_config, DownstreamTlsContext, path)
    if is_edge(context):
        return edge_tls(context, path)
    common = _common(context.common_tls_context, f"{path}.common_tls_context")
    return DownstreamTls(
        require_client_certificate=context.require_client_certificate.value,
        alpn_protocols=common.alpn,
        san_matchers=common.exact,
        san_prefixes=common.prefixes,
    )


def _is_plain(socket: TransportSocket, path: str) -> bool:
    if type_name(socket.typed_config) != _RAW_BUFFER:
        return False
    unpack(socket.typed_config, RawBuffer, path)
    return True


def _common(context: CommonTlsContext, path: str) -> _Common:
    _check_versions(context.tls_params, f"{path}.tls_params")
    certificates = context.tls_certificate_sds_secret_configs
    require(
        len(certificates) == 1,
        f"{path}.tls_certificate_sds_secret_configs",
        f"exactly one is needed, named {IDENTITY_SECRET!r}",
    )
    _check_secret(certificates[0], IDENTITY_SECRET, f"{path}.tls_certificate_sds_secret_configs[0]")
    exact, prefixes = _validation(context, path)
    return _Common(tuple(context.alpn_protocols), exact, prefixes)


def _check_versions(params: TlsParameters, path: str) -> None:
    for field in ("tls_minimum_protocol_version", "tls_maximum_protocol_version"):
        is_ours = getattr(params, field) in _DEFAULT_OR_1_3
        require(is_ours, f"{path}.{field}", f"{enum_name(params, field)} is not supported; use TLSv1_3")


def _check_secret(secret: SdsSecretConfig, expected: str, path: str) -> None:
    require(secret.name == expected, f"{path}.name", f"{secret.name!r} is not known; use {expected!r}")
    require(secret.sds_config.HasField("ads"), f"{path}.sds_config", "must be ads")


def _validation(context: CommonTlsContext, path: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    kind = context.WhichOneof("validation_context_type")
    require(kind is not None, path, "without a validation context the peer would not be verified")
    path = f"{path}.{kind}"
    if kind == "validation_context_sds_secret_config":
        _check_secret(context.validation_context_sds_secret_config, ROOT_SECRET, path)
        return (), ()
    require(kind != "validation_context", path, f"inside the mesh peers are verified with {ROOT_SECRET!r}")
    combined = context.combined_validation_context
    _check_secret(
        combined.validation_context_sds_secret_config,
        ROOT_SECRET,
        f"{path}.validation_context_sds_secret_config",
    )
    own = combined.default_validation_context
    has_more = own.HasField("trusted_ca") or own.HasField("system_root_certs")
    require(
        not has_more, f"{path}.default_validation_context", f"only {ROOT_SECRET!r} is trusted in the mesh"
    )
    matchers = combined.default_validation_context.match_typed_subject_alt_names
    return _san_matchers(matchers, f"{path}.default_validation_context.match_typed_subject_alt_names")


def _san_matchers(
    matchers: Iterable[SubjectAltNameMatcher], path: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(exact ids, prefixes); one of them must match."""
    exact: list[str] = []
    prefixes: list[str] = []
    for index, item in enumerate(matchers):
        where = f"{path}[{index}]"
        is_uri = item.san_type == SubjectAltNameMatcher.URI
        require(is_uri, f"{where}.san_type", f"{enum_name(item, 'san_type')} is not supported; use URI")
        kind = item.matcher.WhichOneof("match_pattern")
        value = item.matcher.exact or item.matcher.prefix
        require(bool(value), f"{where}.matcher", "an exact or prefix that is not empty is needed")
        require(not item.matcher.ignore_case, f"{where}.matcher.ignore_case", "true is not supported")
        (exact if kind == "exact" else prefixes).append(value)
    return tuple(exact), tuple(prefixes)
