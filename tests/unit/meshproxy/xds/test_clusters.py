"""Cluster -> clusters of the model."""

from collections.abc import Callable

import pytest

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster as Proto
from control_plane.api.envoy.extensions.transport_sockets.raw_buffer.v3.raw_buffer_pb2 import RawBuffer
from control_plane.api.envoy.extensions.transport_sockets.tls.v3.tls_pb2 import UpstreamTlsContext
from control_plane.api.envoy.extensions.upstreams.http.v3.http_protocol_options_pb2 import HttpProtocolOptions
from meshproxy.config.load_balancing import LoadBalancing
from meshproxy.config.model import (
    Cluster,
    ClusterType,
    OutlierDetection,
    ServiceIdentity,
    UpstreamTls,
)
from meshproxy.errors import ConfigError
from meshproxy.xds.clusters import translate_cluster
from tests.unit.meshproxy.xds import xds_message as message

Change = Callable[[Proto], None]
HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def translated(change: Change = lambda made: None) -> Cluster:
    made = message.cluster()
    change(made)
    return translate_cluster(made, "c")


def test_defaults_are_envoys() -> None:
    made = translated()
    assert (made.type, made.eds_service_name, made.load_balancing) == (
        ClusterType.EDS,
        "catalog",
        LoadBalancing(),
    )
    assert (made.retry_budget, made.circuit_breaker) == (None, None)
    assert (made.connect_timeout, made.tls, made.service) == (5.0, None, ServiceIdentity())
    limits = (made.max_connections, made.max_pending_requests, made.max_requests, made.max_retries)
    assert limits == (1024, 1024, 1024, 3)
    assert (made.outlier_detection, made.healthy_panic_threshold) == (None, 50.0)


def test_outlier_detection_has_envoys_defaults() -> None:
    made = translated(lambda made: made.outlier_detection.SetInParent())
    assert made.outlier_detection == OutlierDetection(
        5, 10.0, 30.0, 300.0, 10, False, enforcing_success_rate=100
    )


def test_outlier_detection_as_it_is_set() -> None:
    def change(made: Proto) -> None:
        outlier = made.outlier_detection
        outlier.consecutive_5xx.value = 0
        outlier.interval.seconds = 1
        outlier.base_ejection_time.seconds = 400
        outlier.max_ejection_percent.value = 100
        outlier.always_eject_one_host.value = True
        outlier.enforcing_success_rate.value = 0
        made.common_lb_config.healthy_panic_threshold.value = 0

    made = translated(change)
    assert made.outlier_detection == OutlierDetection(0, 1.0, 400.0, 400.0, 100, True)
    assert made.healthy_panic_threshold == 0


def test_everything_that_is_acted_on() -> None:
    def change(made: Proto) -> None:
        made.eds_cluster_config.service_name = "shared"
        made.connect_timeout.seconds = 2
        made.circuit_breakers.thresholds.add().max_connections.value = 7
        made.circuit_breakers.thresholds[0].max_retries.value = 0
        made.metadata.filter_metadata["meshproxy.io"].update(
            {"service_host": "catalog.shop", "service_name": "catalog", "service_namespace": "shop"}
        )
        options = HttpProtocolOptions()
        options.explicit_http_config.http_protocol_options.SetInParent()
        options.common_http_protocol_options.max_requests_per_connection.value = 9
        options.common_http_protocol_options.idle_timeout.seconds = 8
        made.typed_extension_protocol_options[HTTP_OPTIONS].Pack(options)
        context = UpstreamTlsContext(sni="s")
        message.common_tls(context.common_tls_context)
        made.transport_socket.CopyFrom(message.transport_socket(context))
        match = made.transport_socket_matches.add(name="plain")
        match.match.update({"tlsMode": "disabled"})
        match.transport_socket.CopyFrom(message.transport_socket(RawBuffer()))

    made = translated(change)
    assert (made.eds_service_name, made.connect_timeout) == ("shared", 2.0)
    assert (made.max_connections, made.max_requests, made.max_retries) == (7, 1024, 0)
    assert (made.max_requests_per_connection, made.idle_timeout) == (9, 8.0)
    assert made.service == ServiceIdentity("catalog.shop", "catalog", "shop")
    assert made.tls == UpstreamTls(sni="s", alpn_protocols=("istio",))
    [match] = made.transport_socket_matches
    assert (match.name, match.criteria, match.tls) == ("plain", (("tlsMode", "disabled"),), None)


def choosing(*alpn: str) -> Change:
    """`auto_config` over a TLS socket that offers `alpn`, and plaintext beside."""

    def change(made: Proto) -> None:
        options = HttpProtocolOptions()
        options.auto_config.http_protocol_options.SetInParent()
        options.auto_config.http2_protocol_options.SetInParent()
        options.common_http_protocol_options.idle_timeout.seconds = 8
        made.typed_extension_protocol_options[HTTP_OPTIONS].Pack(options)
        context = UpstreamTlsContext(sni="s")
        message.common_tls(context.common_tls_context)
        context.common_tls_context.alpn_protocols[:] = alpn
        match = made.transport_socket_matches.add(name="mutual")
        match.match.update({"tlsMode": "mutual"})
        match.transport_socket.CopyFrom(message.transport_socket(context))
        plain = made.transport_socket_matches.add(name="plain")
        plain.transport_socket.CopyFrom(message.transport_socket(RawBuffer()))

    return change


def test_endpoints_that_choose_the_version_are_spoken_http_1_1_to_by_who_does_not_ask() -> None:
    made = translated(choosing("istio-h2", "istio-http/1.1"))
    assert (made.http2, made.http2_alpn, made.idle_timeout) == (False, ("istio-h2", "istio-http/1.1"), 8.0)
    mutual, plain = made.transport_socket_matches
    assert mutual.tls == UpstreamTls(sni="s", alpn_protocols=("istio-http/1.1",))
    assert plain.tls is None


@pytest.mark.parametrize("alpn", [(), ("istio-h2",), ("istio-http/1.1", "istio-h2"), ("istio-h2", "h2")])
def test_a_choice_is_of_http_2_and_something_else(alpn: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="c: auto_config needs mesh TLS with alpn_protocols of istio-h2"):
        translated(choosing(*alpn))


def test_original_destination_with_source_addresses() -> None:
    made = Proto(name="inbound", type=Proto.ORIGINAL_DST, lb_policy=Proto.CLUSTER_PROVIDED)
    made.upstream_bind_config.source_address.address = "127.0.0.6"
    made.upstream_bind_config.extra_source_addresses.add().address.address = "::6"
    translated = translate_cluster(made, "c")
    assert (translated.bind_address, translated.bind_address_v6) == ("127.0.0.6", "::6")
    assert translated.type is ClusterType.ORIGINAL_DST


def test_static_endpoints() -> None:
    made = Proto(name="static", type=Proto.STATIC, load_assignment=message.endpoints())
    assert [endpoint.port for endpoint in translate_cluster(made, "c").endpoints] == [8080]


def _slow_lookups(made: Proto) -> None:
    made.dns_refresh_rate.seconds = 60


def _eds_from_file(made: Proto) -> None:
    made.eds_cluster_config.eds_config.ClearField("ads")


def _static_with_eds(made: Proto) -> None:
    made.type = Proto.STATIC


def _inline(made: Proto) -> None:
    made.load_assignment.CopyFrom(message.endpoints())


def _by_config(made: Proto) -> None:
    made.lb_policy = Proto.LOAD_BALANCING_POLICY_CONFIG


def _provided(made: Proto) -> None:
    made.lb_policy = Proto.CLUSTER_PROVIDED


def _instant(made: Proto) -> None:
    made.connect_timeout.SetInParent()


def _original_with_outlier(made: Proto) -> None:
    made.ClearField("eds_cluster_config")
    made.type, made.lb_policy = Proto.ORIGINAL_DST, Proto.CLUSTER_PROVIDED
    made.outlier_detection.SetInParent()


def _no_interval(made: Proto) -> None:
    made.outlier_detection.interval.SetInParent()


def _too_many(made: Proto) -> None:
    made.outlier_detection.max_ejection_percent.value = 101


def _longest_below_base(made: Proto) -> None:
    made.outlier_detection.max_ejection_time.seconds = 3


def _always_panic(made: Proto) -> None:
    made.common_lb_config.healthy_panic_threshold.value = 100.5


def _two_thresholds(made: Proto) -> None:
    made.circuit_breakers.thresholds.add()
    made.circuit_breakers.thresholds.add()


def _vague(made: Proto) -> None:
    made.typed_extension_protocol_options[HTTP_OPTIONS].Pack(HttpProtocolOptions())


def _choosing_without_tls(made: Proto) -> None:
    options = HttpProtocolOptions()
    options.auto_config.SetInParent()
    made.typed_extension_protocol_options[HTTP_OPTIONS].Pack(options)


def _short_lives(made: Proto) -> None:
    options = HttpProtocolOptions()
    options.explicit_http_config.http_protocol_options.SetInParent()
    options.common_http_protocol_options.max_connection_duration.seconds = 1
    made.typed_extension_protocol_options[HTTP_OPTIONS].Pack(options)


def _other_options(made: Proto) -> None:
    made.typed_extension_protocol_options["other"].Pack(HttpProtocolOptions())


def _fixed_port(made: Proto) -> None:
    made.upstream_bind_config.source_address.address = "127.0.0.6"
    made.upstream_bind_config.source_address.port_value = 9


def _two_sources(made: Proto) -> None:
    made.upstream_bind_config.source_address.address = "127.0.0.6"
    made.upstream_bind_config.extra_source_addresses.add().address.address = "127.0.0.7"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_slow_lookups, "c.dns_refresh_rate: only for clusters of type STRICT_DNS and LOGICAL_DNS"),
        (_eds_from_file, "c.eds_cluster_config.eds_config: must be ads"),
        (_static_with_eds, "c.eds_cluster_config: only for clusters of type EDS"),
        (_inline, "c.load_assignment: only for clusters of type STATIC, STRICT_DNS and LOGICAL_DNS"),
        (_by_config, "c.lb_policy: LOAD_BALANCING_POLICY_CONFIG is not supported"),
        (_provided, "c.lb_policy: CLUSTER_PROVIDED does not go with type EDS"),
        (_instant, "c.connect_timeout: must be above 0"),
        (_two_thresholds, "c.circuit_breakers.thresholds: more than one is not supported"),
        (_original_with_outlier, "c.outlier_detection: not for clusters of type ORIGINAL_DST"),
        (_no_interval, "c.outlier_detection.interval: must be above 0"),
        (_too_many, "c.outlier_detection.max_ejection_percent: must be at most 100"),
        (_longest_below_base, "c.outlier_detection.max_ejection_time: 3.0 s is below the base, 30.0 s"),
        (_always_panic, "c.common_lb_config.healthy_panic_threshold: 100.5 is no percentage"),
        (_vague, "explicit_http_config: http_protocol_options or http2_protocol_options is needed"),
        (_choosing_without_tls, "c: auto_config needs mesh TLS with alpn_protocols of istio-h2 and a name"),
        (_short_lives, "max_connection_duration: "),
        (_other_options, "c.typed_extension_protocol_options['other']: this extension is not supported"),
        (_fixed_port, "c.upstream_bind_config.source_address.port_value: a fixed source port"),
        (_two_sources, "extra_source_addresses[0].address: a second IPv4 source address"),
    ],
)
def test_refused(change: Change, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        translated(change)
    assert message in str(refused.value)
