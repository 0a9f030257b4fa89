"""TLS contexts for those outside the mesh -> their values: a gateway's clients, servers that prove a name.

Verification is never off: a context without authorities or names is refused, and so is every field that would
turn it off (`trust_chain_verification`, `allow_expired_certificate`), by the strict check.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from control_plane.api.envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateValidationContext,
    SubjectAltNameMatcher,
    TlsParameters,
)
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    CommonTlsContext,
    DownstreamTlsContext,
    UpstreamTlsContext,
)
from meshproxy.config.tls import CERTIFICATE_SCHEME, ClientValidation, EdgeTls, OriginTls, SanKind, SanMatch
from meshproxy.errors import ConfigError
from meshproxy.identity.edge_contexts import check_authorities
from meshproxy.xds.data_source import inline
from meshproxy.xds.strict import enum_name, require

SYSTEM_ROOTS: Final = "/etc/ssl/certs/ca-certificates.crt"
"""The one file name that is understood: as "what the system trusts", wherever that lies."""
_ALPN: Final = ("h2", "http/1.1", "http/1.0")
_KINDS: Final = {
    SubjectAltNameMatcher.DNS: SanKind.DNS,
    SubjectAltNameMatcher.URI: SanKind.URI,
    SubjectAltNameMatcher.EMAIL: SanKind.EMAIL,
    SubjectAltNameMatcher.IP_ADDRESS: SanKind.IP_ADDRESS,
}
_MINIMA: Final = (TlsParameters.TLS_AUTO, TlsParameters.TLSv1_2, TlsParameters.TLSv1_3)
_MAXIMA: Final = (TlsParameters.TLS_AUTO, TlsParameters.TLSv1_3)


def is_edge(context: DownstreamTlsContext) -> bool:
    """Whether it names a certificate for the world, not the proxy's own identity."""
    names = [one.name for one in context.common_tls_context.tls_certificate_sds_secret_configs]
    return any(name.startswith(CERTIFICATE_SCHEME) for name in names)


def is_origin(context: UpstreamTlsContext) -> bool:
    """Whether it proves nothing of us: mutual TLS of the mesh always does."""
    return not context.common_tls_context.tls_certificate_sds_secret_configs


def edge_tls(context: DownstreamTlsContext, path: str) -> EdgeTls:
    """`context` has passed the strict check. Raises ConfigError."""
    common = context.common_tls_context
    path = f"{path}.common_tls_context"
    certificates = common.tls_certificate_sds_secret_configs
    where = f"{path}.tls_certificate_sds_secret_configs"
    require(len(certificates) == 1, where, "exactly one is supported; others go to chains of their own")
    require(certificates[0].sds_config.HasField("ads"), f"{where}[0].sds_config", "must be ads")
    return EdgeTls(
        certificate=certificates[0].name,
        alpn_protocols=_alpn(common.alpn_protocols, path),
        is_1_3_only=_is_1_3_only(common.tls_params, f"{path}.tls_params"),
        client=_client(common, path, is_required=context.require_client_certificate.value),
    )


def origin_tls(context: UpstreamTlsContext, path: str) -> OriginTls:
    """`context` has passed the strict check. Raises ConfigError."""
    common = context.common_tls_context
    path = f"{path}.common_tls_context"
    require(not _is_1_3_only(common.tls_params, path), f"{path}.tls_params", "must allow TLS 1.2")
    kind = common.WhichOneof("validation_context_type")
    require(kind is not None, path, "without a validation context the peer would not be verified")
    require(kind == "validation_context", f"{path}.{kind}", "must be validation_context: no identity of ours")
    validation, path = common.validation_context, f"{path}.validation_context"
    sans = _sans(validation.match_typed_subject_alt_names, f"{path}.match_typed_subject_alt_names")
    require(bool(sans), path, "without match_typed_subject_alt_names any server would do")
    return OriginTls(
        sans=sans,
        sni=context.sni,
        alpn_protocols=_alpn(common.alpn_protocols, path),
        trusted_ca=_authorities(validation, path),
    )


def _alpn(protocols: Iterable[str], path: str) -> tuple[str, ...]:
    for protocol in protocols:
        require(
            protocol in _ALPN, f"{path}.alpn_protocols", f"{protocol!r} is not supported; http/1.1 and h2 are"
        )
    return tuple(protocols)


def _is_1_3_only(params: TlsParameters, path: str) -> bool:
    for field, allowed in (
        ("tls_minimum_protocol_version", _MINIMA),
        ("tls_maximum_protocol_version", _MAXIMA),
    ):
        name = enum_name(params, field)
        require(getattr(params, field) in allowed, f"{path}.{field}", f"{name} is not supported")
    return params.tls_minimum_protocol_version == TlsParameters.TLSv1_3


def _client(common: CommonTlsContext, path: str, *, is_required: bool) -> ClientValidation | None:
    kind = common.WhichOneof("validation_context_type")
    if kind is None:
        require(not is_required, path, "require_client_certificate needs a validation_context")
        return None
    require(kind == "validation_context", f"{path}.{kind}", "must be validation_context at a gateway")
    validation, path = common.validation_context, f"{path}.validation_context"
    trusted = _authorities(validation, path)
    require(bool(trusted), f"{path}.trusted_ca", "PEM is needed: which clients are trusted must be said")
    sans = _sans(validation.match_typed_subject_alt_names, f"{path}.match_typed_subject_alt_names")
    return ClientValidation(trusted, is_required, sans)


def _authorities(validation: CertificateValidationContext, path: str) -> str:
    """PEM; empty for the system's."""
    if validation.HasField("system_root_certs") or validation.trusted_ca.filename == SYSTEM_ROOTS:
        both = validation.HasField("system_root_certs") and validation.HasField("trusted_ca")
        require(not both, f"{path}.trusted_ca", "does not go with system_root_certs")
        return ""
    pem = inline(validation.trusted_ca, f"{path}.trusted_ca")
    require(bool(pem), f"{path}.trusted_ca", "without it the peer would not be verified")
    try:
        text = pem.decode("ascii")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}.trusted_ca: not PEM") from error
    check_authorities(text, f"{path}.trusted_ca")
    return text


def _sans(matchers: Iterable[SubjectAltNameMatcher], path: str) -> tuple[SanMatch, ...]:
    found = []
    for index, item in enumerate(matchers):
        where = f"{path}[{index}]"
        kind = _KINDS.get(item.san_type)
        if kind is None:
            raise ConfigError(f"{where}.san_type: {enum_name(item, 'san_type')} is not supported")
        matcher = item.matcher
        pattern = matcher.WhichOneof("match_pattern")
        is_known = pattern in ("exact", "prefix", "suffix") and bool(getattr(matcher, pattern))
        require(is_known, f"{where}.matcher", "an exact, prefix or suffix that is not empty is needed")
        require(not matcher.ignore_case, f"{where}.matcher.ignore_case", "true is not supported")
        found.append(SanMatch(kind, matcher.exact, matcher.prefix, matcher.suffix))
    return tuple(found)
