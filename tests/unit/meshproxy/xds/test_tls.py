"""Transport sockets: identity from the agent, a verified peer, TLS 1.3."""

from collections.abc import Callable

import pytest
from google.protobuf.wrappers_pb2 import UInt32Value

from control_plane.api.envoy.extensions.filters.http.router.v3.router_pb2 import Router
from control_plane.api.envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer_pb2 import RawBuffer
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.common_pb2 import (
    SubjectAltNameMatcher,
    TlsParameters,
)
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.tls_pb2 import (
    CommonTlsContext,
    DownstreamTlsContext,
    UpstreamTlsContext,
)
from meshproxy.config.model import DownstreamTls, UpstreamTls
from meshproxy.errors import ConfigError
from meshproxy.xds.tls import downstream_tls, upstream_tls
from tests.unit.meshproxy.xds import xds_message as message

SPIFFE_ID = "spiffe://cluster.local/ns/shop/sa/catalog"
Change = Callable[[CommonTlsContext], None]


def upstream(change: Change = lambda common: None) -> UpstreamTls | None:
    context = UpstreamTlsContext(sni="outbound_.80_._.catalog")
    message.common_tls(context.common_tls_context)
    change(context.common_tls_context)
    return upstream_tls(message.transport_socket(context), "c")


def downstream(change: Change = lambda common: None, *, require: bool = True) -> DownstreamTls | None:
    context = DownstreamTlsContext()
    context.require_client_certificate.value = require
    message.common_tls(context.common_tls_context)
    change(context.common_tls_context)
    return downstream_tls(message.transport_socket(context), "c")


def san(*, exact: str = "", prefix: str = "", kind: int = SubjectAltNameMatcher.URI) -> Change:
    def change(common: CommonTlsContext) -> None:
        validation = common.combined_validation_context.default_validation_context
        item = validation.match_typed_subject_alt_names.add()
        item.san_type = kind  # type: ignore[assignment]
        if exact:
            item.matcher.exact = exact
        if prefix:
            item.matcher.prefix = prefix

    return change


def test_upstream() -> None:
    assert upstream(san(exact=SPIFFE_ID)) == UpstreamTls(
        sni="outbound_.80_._.catalog", alpn_protocols=("istio",), san_matchers=(SPIFFE_ID,)
    )


def test_how_many_sessions_may_be_kept() -> None:
    for limit in (0, 256):
        context = UpstreamTlsContext(max_session_keys=UInt32Value(value=limit))
        message.common_tls(context.common_tls_context)
        made = upstream_tls(message.transport_socket(context), "c")
        assert made is not None
        assert made.max_session_keys == limit


def test_downstream() -> None:
    assert downstream(san(prefix="spiffe://cluster.local/")) == DownstreamTls(
        require_client_certificate=True, alpn_protocols=("istio",), san_prefixes=("spiffe://cluster.local/",)
    )
    assert downstream(san(exact=SPIFFE_ID), require=False) == DownstreamTls(
        require_client_certificate=False, alpn_protocols=("istio",), san_matchers=(SPIFFE_ID,)
    )


def test_raw_buffer_is_plaintext() -> None:
    assert upstream_tls(message.transport_socket(RawBuffer()), "c") is None
    assert downstream_tls(message.transport_socket(RawBuffer()), "c") is None


def test_the_trust_bundle_alone_lets_every_identity_of_it_in() -> None:
    def change(common: CommonTlsContext) -> None:
        common.validation_context_sds_secret_config.name = "ROOTCA"
        common.validation_context_sds_secret_config.sds_config.ads.SetInParent()

    assert downstream(change) == DownstreamTls(alpn_protocols=("istio",))


def test_saying_tls_1_3_changes_nothing() -> None:
    def change(common: CommonTlsContext) -> None:
        common.tls_params.tls_minimum_protocol_version = TlsParameters.TLSv1_3
        common.tls_params.tls_maximum_protocol_version = TlsParameters.TLSv1_3

    assert upstream(change) == upstream()


def _older(common: CommonTlsContext) -> None:
    common.tls_params.tls_minimum_protocol_version = TlsParameters.TLSv1_2


def _no_certificate(common: CommonTlsContext) -> None:
    del common.tls_certificate_sds_secret_configs[:]


def _other_secret(common: CommonTlsContext) -> None:
    common.tls_certificate_sds_secret_configs[0].name = "other"


def _secret_from_file(common: CommonTlsContext) -> None:
    common.tls_certificate_sds_secret_configs[0].sds_config.path_config_source.path = "/x"


def _unverified(common: CommonTlsContext) -> None:
    common.ClearField("combined_validation_context")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_older, "tls_params.tls_minimum_protocol_version: TLSv1_2 is not supported; use TLSv1_3"),
        (_no_certificate, "combined_validation_context: must be validation_context: no identity of ours"),
        (_other_secret, "tls_certificate_sds_secret_configs[0].name: 'other' is not known; use 'default'"),
        (_unverified, "without a validation context the peer would not be verified"),
        (san(exact="x", kind=SubjectAltNameMatcher.DNS), "san_type: DNS is not supported; use URI"),
        (san(), "matcher: an exact or prefix that is not empty is needed"),
    ],
)
def test_refused(change: Change, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        upstream(change)
    assert message in str(refused.value)


def test_whoever_has_a_prefix_may_answer() -> None:
    tls = upstream(san(prefix="spiffe://cluster.local/"))
    assert tls is not None
    assert tls.san_prefixes == ("spiffe://cluster.local/",)


def test_secrets_come_from_the_agent_not_from_files() -> None:
    with pytest.raises(ConfigError, match="path_config_source: this field of"):
        upstream(_secret_from_file)

    def nowhere(common: CommonTlsContext) -> None:
        common.tls_certificate_sds_secret_configs[0].ClearField("sds_config")

    with pytest.raises(ConfigError, match="sds_config: must be ads"):
        upstream(nowhere)


def test_another_transport_socket_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"extension 'envoy.extensions.filters.http.router.v3.Router'"):
        upstream_tls(message.transport_socket(Router()), "c")
