"""TLS contexts for those outside the mesh: what is taken, and what is refused by name."""

from collections.abc import Callable

import pytest

from control_plane.api.envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    CertificateValidationContext,
    SubjectAltNameMatcher,
    TlsParameters,
)
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    DownstreamTlsContext,
    UpstreamTlsContext,
)
from meshproxy.config.tls import ClientValidation, EdgeTls, OriginTls, SanKind, SanMatch
from meshproxy.errors import ConfigError
from meshproxy.xds.outside_tls import SYSTEM_ROOTS
from meshproxy.xds.tls import downstream_tls, upstream_tls
from tests.unit.meshproxy.proxy.outside import authority
from tests.unit.meshproxy.xds import xds_message as message

PEM = authority("world").pem
NAME = "kubernetes://edge/cert"


def edge() -> DownstreamTlsContext:
    made = DownstreamTlsContext()
    common = made.common_tls_context
    common.tls_certificate_sds_secret_configs.add(name=NAME).sds_config.ads.SetInParent()
    common.alpn_protocols.append("http/1.1")
    return made


def with_clients() -> DownstreamTlsContext:
    made = edge()
    made.require_client_certificate.value = True
    made.common_tls_context.validation_context.trusted_ca.inline_string = PEM
    return made


def origin() -> UpstreamTlsContext:
    made = UpstreamTlsContext(sni="o.example")
    validation = made.common_tls_context.validation_context
    validation.trusted_ca.inline_string = PEM
    matcher = validation.match_typed_subject_alt_names.add(san_type=SubjectAltNameMatcher.DNS)
    matcher.matcher.exact = "o.example"
    return made


def read_edge(made: DownstreamTlsContext) -> object:
    return downstream_tls(message.transport_socket(made), "c")


def read_origin(made: UpstreamTlsContext) -> object:
    return upstream_tls(message.transport_socket(made), "c")


def test_a_certificate_for_the_world() -> None:
    assert read_edge(edge()) == EdgeTls(NAME, ("http/1.1",))
    made = edge()
    made.common_tls_context.tls_params.tls_minimum_protocol_version = TlsParameters.TLSv1_3
    assert read_edge(made) == EdgeTls(NAME, ("http/1.1",), is_1_3_only=True)


def test_clients_that_prove_themselves() -> None:
    assert read_edge(with_clients()) == EdgeTls(NAME, ("http/1.1",), client=ClientValidation(PEM))
    made = with_clients()
    made.require_client_certificate.value = False
    matchers = made.common_tls_context.validation_context.match_typed_subject_alt_names
    matchers.add(san_type=SubjectAltNameMatcher.URI).matcher.prefix = "urn:"
    matchers.add(san_type=SubjectAltNameMatcher.EMAIL).matcher.suffix = "@a.example"
    matchers.add(san_type=SubjectAltNameMatcher.IP_ADDRESS).matcher.exact = "::1"
    sans = (
        SanMatch(SanKind.URI, prefix="urn:"),
        SanMatch(SanKind.EMAIL, suffix="@a.example"),
        SanMatch(SanKind.IP_ADDRESS, exact="::1"),
    )
    client = ClientValidation(PEM, is_required=False, sans=sans)
    assert read_edge(made) == EdgeTls(NAME, ("http/1.1",), client=client)


def test_servers_that_prove_a_name() -> None:
    sans = (SanMatch(SanKind.DNS, exact="o.example"),)
    assert read_origin(origin()) == OriginTls(sans, "o.example", (), PEM)


def _system_file(validation: CertificateValidationContext) -> None:
    validation.trusted_ca.filename = SYSTEM_ROOTS


def _system_field(validation: CertificateValidationContext) -> None:
    validation.ClearField("trusted_ca")
    validation.system_root_certs.SetInParent()


@pytest.mark.parametrize("change", [_system_file, _system_field])
def test_the_roots_of_the_system(change: Callable[[CertificateValidationContext], None]) -> None:
    made = origin()
    change(made.common_tls_context.validation_context)
    found = read_origin(made)
    assert isinstance(found, OriginTls)
    assert found.trusted_ca == ""


def _two(made: DownstreamTlsContext) -> None:
    made.common_tls_context.tls_certificate_sds_secret_configs.add(name=NAME).sds_config.ads.SetInParent()


def _not_ads(made: DownstreamTlsContext) -> None:
    source = made.common_tls_context.tls_certificate_sds_secret_configs[0].sds_config
    source.path_config_source.path = "/x"


def _old(made: DownstreamTlsContext) -> None:
    made.common_tls_context.tls_params.tls_minimum_protocol_version = TlsParameters.TLSv1_1


def _low_maximum(made: DownstreamTlsContext) -> None:
    made.common_tls_context.tls_params.tls_maximum_protocol_version = TlsParameters.TLSv1_2


def _nobody_trusted(made: DownstreamTlsContext) -> None:
    made.common_tls_context.ClearField("validation_context")


def _system_clients(made: DownstreamTlsContext) -> None:
    _system_file(made.common_tls_context.validation_context)


def _not_pem(made: DownstreamTlsContext) -> None:
    made.common_tls_context.validation_context.trusted_ca.inline_string = "nothing"


def _not_ascii(made: DownstreamTlsContext) -> None:
    made.common_tls_context.validation_context.trusted_ca.inline_bytes = b"\xff"


def _any_expiry(made: DownstreamTlsContext) -> None:
    made.common_tls_context.validation_context.allow_expired_certificate = True


def _untrusted(made: DownstreamTlsContext) -> None:
    validation = made.common_tls_context.validation_context
    validation.trust_chain_verification = CertificateValidationContext.ACCEPT_UNTRUSTED


def _other_name(made: DownstreamTlsContext) -> None:
    matchers = made.common_tls_context.validation_context.match_typed_subject_alt_names
    matchers.add(san_type=SubjectAltNameMatcher.OTHER_NAME).matcher.exact = "x"


def _contains(made: DownstreamTlsContext) -> None:
    matchers = made.common_tls_context.validation_context.match_typed_subject_alt_names
    matchers.add(san_type=SubjectAltNameMatcher.DNS).matcher.contains = "x"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_two, "tls_certificate_sds_secret_configs: exactly one is supported"),
        (_not_ads, "path_config_source"),
        (_old, "tls_minimum_protocol_version: TLSv1_1 is not supported"),
        (_low_maximum, "tls_maximum_protocol_version: TLSv1_2 is not supported"),
        (_nobody_trusted, "require_client_certificate needs a validation_context"),
        (_system_clients, "trusted_ca: PEM is needed"),
        (_not_pem, "trusted_ca: no PEM certificates"),
        (_not_ascii, "trusted_ca: not PEM"),
        (_any_expiry, "allow_expired_certificate: this field"),
        (_untrusted, "trust_chain_verification: this field"),
        (_other_name, "san_type: OTHER_NAME is not supported"),
        (_contains, "matcher: an exact, prefix or suffix"),
    ],
)
def test_an_edge_that_is_refused(change: Callable[[DownstreamTlsContext], None], problem: str) -> None:
    made = with_clients()
    change(made)
    with pytest.raises(ConfigError) as refused:
        read_edge(made)
    assert problem in str(refused.value)


def _no_validation(made: UpstreamTlsContext) -> None:
    made.common_tls_context.ClearField("validation_context")


def _no_names(made: UpstreamTlsContext) -> None:
    del made.common_tls_context.validation_context.match_typed_subject_alt_names[:]


def _no_roots(made: UpstreamTlsContext) -> None:
    made.common_tls_context.validation_context.ClearField("trusted_ca")


def _other_file(made: UpstreamTlsContext) -> None:
    made.common_tls_context.validation_context.trusted_ca.filename = "/etc/passwd"


def _both_roots(made: UpstreamTlsContext) -> None:
    made.common_tls_context.validation_context.system_root_certs.SetInParent()


def _names_by_host(made: UpstreamTlsContext) -> None:
    made.auto_sni_san_validation = True


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (_no_validation, "without a validation context the peer would not be verified"),
        (_no_names, "without match_typed_subject_alt_names any server would do"),
        (_no_roots, "trusted_ca: without it the peer would not be verified"),
        (_other_file, "trusted_ca.filename: is not read"),
        (_both_roots, "trusted_ca: does not go with system_root_certs"),
        (_names_by_host, "auto_sni_san_validation: this field"),
    ],
)
def test_an_origin_that_is_refused(change: Callable[[UpstreamTlsContext], None], problem: str) -> None:
    made = origin()
    change(made)
    with pytest.raises(ConfigError) as refused:
        read_origin(made)
    assert problem in str(refused.value)
