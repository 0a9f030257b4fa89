"""`health_checks` of clusters."""

from collections.abc import Callable

import pytest

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster as Proto
from control_plane.api.envoy.config.core.v3.base_pb2 import RequestMethod
from control_plane.api.envoy.config.core.v3.health_check_pb2 import HealthCheck as Check
from meshproxy.config.health_check import HealthCheck, HttpCheck, TcpCheck
from meshproxy.config.resilience import HealthCheckSettings
from meshproxy.errors import ConfigError
from meshproxy.xds.clusters import translate_cluster
from meshproxy.xds.strict import check
from tests.unit.meshproxy.xds import xds_message as message

Change = Callable[[Check], None]


def translated(change: Change) -> HealthCheck | None:
    made = message.cluster()
    one = made.health_checks.add()
    one.timeout.seconds, one.interval.seconds = 1, 10
    one.unhealthy_threshold.value, one.healthy_threshold.value = 3, 2
    change(one)
    check(made, "c")
    return translate_cluster(made, "c").health_check


def http(one: Check) -> None:
    one.http_health_check.path = "/healthz"
    one.http_health_check.host = "catalog.shop"


def test_http_expects_200_unless_told_otherwise() -> None:
    assert translated(http) == HealthCheck(
        HttpCheck("/healthz", "catalog.shop"), HealthCheckSettings(1.0, 10.0)
    )


def test_everything_that_can_be_set() -> None:
    def change(one: Check) -> None:
        http(one)
        one.http_health_check.expected_statuses.add(start=200, end=300)
        one.http_health_check.method = RequestMethod.GET
        one.no_traffic_interval.seconds = 30
        one.initial_jitter.seconds = 2
        one.interval_jitter_percent = 10

    asks = HttpCheck("/healthz", "catalog.shop", ((200, 300),))
    settings = HealthCheckSettings(
        1.0, 10.0, no_traffic_interval=30.0, initial_jitter=2.0, interval_jitter_percent=10
    )
    assert translated(change) == HealthCheck(asks, settings)


def test_tcp_with_bytes_and_without() -> None:
    def change(one: Check) -> None:
        one.tcp_health_check.send.text = "50494e47"
        one.tcp_health_check.receive.add(text="504f4e47")

    made = translated(change)
    assert made is not None
    assert made.asks == TcpCheck(b"PING", (b"PONG",))
    bare = translated(lambda one: one.tcp_health_check.SetInParent())
    assert bare is not None
    assert bare.asks == TcpCheck()


def _nothing(one: Check) -> None:
    """What to ask is missing."""


def _no_timeout(one: Check) -> None:
    http(one)
    one.ClearField("timeout")


def _no_time(one: Check) -> None:
    http(one)
    one.interval.Clear()


def _negative(one: Check) -> None:
    http(one)
    one.interval.seconds = -1


def _post(one: Check) -> None:
    http(one)
    one.http_health_check.method = RequestMethod.POST


def _relative(one: Check) -> None:
    http(one)
    one.http_health_check.path = "healthz"


def _smuggling(one: Check) -> None:
    http(one)
    one.http_health_check.path = "/\r\nx: y"


def _no_host(one: Check) -> None:
    one.http_health_check.path = "/"


def _backwards(one: Check) -> None:
    http(one)
    one.http_health_check.expected_statuses.add(start=300, end=200)


def _no_hexadecimal(one: Check) -> None:
    one.tcp_health_check.send.text = "PING"


def _empty(one: Check) -> None:
    one.tcp_health_check.receive.add(text="")


def _with_fields(one: Check) -> None:
    http(one)
    one.http_health_check.request_headers_to_add.add()


def _never_again(one: Check) -> None:
    http(one)
    one.reuse_connection.value = False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_nothing, "c.health_checks[0]: http_health_check, grpc_health_check or tcp_health_check is needed"),
        (_no_timeout, "c.health_checks[0].timeout: is required"),
        (_no_time, "c.health_checks[0]: health check interval 0.0 s"),
        (_negative, "c.health_checks[0].interval: -1.0 s is negative"),
        (_post, "c.health_checks[0].http_health_check.method: POST is not supported; use GET"),
        (_relative, "c.health_checks[0].http_health_check.path: 'healthz' does not begin with /"),
        (_smuggling, "c.health_checks[0].http_health_check.path: must be printable ASCII"),
        (_no_host, "c.health_checks[0].http_health_check.host: must be printable ASCII"),
        (_backwards, "expected_statuses[0]: [300, 200) is no range of statuses"),
        (_no_hexadecimal, "c.health_checks[0].tcp_health_check.send.text: 'PING' is not hexadecimal"),
        (_empty, "c.health_checks[0].tcp_health_check.receive[0].text: must not be empty"),
        (_with_fields, "http_health_check.request_headers_to_add: this field of"),
        (_never_again, "c.health_checks[0].reuse_connection: this field of"),
    ],
)
def test_refused(change: Change, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        translated(change)
    assert message in str(refused.value)


def test_one_check_at_most_and_none_of_original_destinations() -> None:
    made = message.cluster()
    made.health_checks.add()
    made.health_checks.add()
    with pytest.raises(ConfigError, match=r"^c\.health_checks: more than one is not supported$"):
        translate_cluster(made, "c")
    given = Proto(name="o", type=Proto.ORIGINAL_DST, lb_policy=Proto.CLUSTER_PROVIDED)
    given.health_checks.add()
    with pytest.raises(ConfigError, match=r"^c\.health_checks: not for clusters of type ORIGINAL_DST$"):
        translate_cluster(given, "c")
