"""ClusterLoadAssignment -> endpoints."""

from collections.abc import Callable, Mapping

import pytest
from google.protobuf.struct_pb2 import Struct

from control_plane.api.envoy.config.core.v3.health_check_pb2 import HealthStatus
from control_plane.api.envoy.config.endpoint.v3.endpoint_components_pb2 import LbEndpoint
from meshproxy.config.load_balancing import Locality
from meshproxy.config.model import Endpoint, WorkloadIdentity
from meshproxy.errors import ConfigError
from meshproxy.xds.endpoints import translate_endpoints
from tests.unit.meshproxy.xds import xds_message as message

SPIFFE_ID = "spiffe://cluster.local/ns/shop/sa/catalog"


def one(change: Callable[[LbEndpoint], None]) -> Endpoint:
    made = message.endpoints()
    change(made.endpoints[0].lb_endpoints[0])
    [endpoint] = translate_endpoints(made, "eds 'catalog'")
    return endpoint


def refusal(change: Callable[[LbEndpoint], None]) -> str:
    with pytest.raises(ConfigError) as refused:
        one(change)
    return str(refused.value).removeprefix("eds 'catalog'.endpoints[0].lb_endpoints[0]")


def labels(values: Mapping[str, str | float], key: str = "meshproxy.io") -> Callable[[LbEndpoint], None]:
    def change(item: LbEndpoint) -> None:
        struct = Struct()
        struct.update(dict(values))
        item.metadata.filter_metadata[key].CopyFrom(struct)

    return change


def test_a_bare_endpoint_is_healthy_of_weight_one_and_nobody_in_particular() -> None:
    assert one(lambda item: None) == Endpoint(address="10.244.0.7", port=8080, locality_weight=0)


def test_endpoints_keep_their_order_across_localities() -> None:
    made = message.endpoints(port=1)
    made.endpoints.append(message.endpoints(port=2).endpoints[0])
    assert [endpoint.port for endpoint in translate_endpoints(made, "eds")] == [1, 2]


def test_metadata_says_who_is_there_and_how_to_reach_it() -> None:
    known = {"workload": "catalog", "namespace": "shop", "app": "catalog", "version": "v2"}
    assert one(labels({**known, "spiffe_id": SPIFFE_ID})).workload == WorkloadIdentity(**known)
    assert one(labels({"spiffe_id": SPIFFE_ID})).spiffe_id == SPIFFE_ID
    matched = one(labels({"tlsMode": "mutual", "a": "b"}, "envoy.transport_socket_match"))
    assert matched.transport_socket_match == (("a", "b"), ("tlsMode", "mutual"))


def test_metadata_of_others_is_passed_over() -> None:
    assert one(labels({"anything": 1}, "com.example")) == one(lambda item: None)


def test_health_and_weight() -> None:
    def unhealthy(item: LbEndpoint) -> None:
        item.health_status = HealthStatus.DRAINING
        item.load_balancing_weight.value = 7

    endpoint = one(unhealthy)
    assert (endpoint.healthy, endpoint.weight) == (False, 7)


def test_a_degraded_endpoint_is_used_for_what_others_cannot_take() -> None:
    def degraded(item: LbEndpoint) -> None:
        item.health_status = HealthStatus.DEGRADED

    endpoint = one(degraded)
    assert (endpoint.healthy, endpoint.is_degraded) == (True, True)


def test_localities_priorities_and_labels_that_subsets_are_chosen_by() -> None:
    made = message.endpoints()
    group = made.endpoints[0]
    group.locality.region, group.locality.zone, group.locality.sub_zone = "r", "z", "s"
    group.priority = 1
    group.load_balancing_weight.value = 3
    labels({"version": "v1", "a": "b"}, "envoy.lb")(group.lb_endpoints[0])
    [endpoint] = translate_endpoints(made, "eds")
    assert (endpoint.locality, endpoint.priority) == (Locality("r", "z", "s"), 1)
    assert (endpoint.locality_weight, endpoint.labels) == (3, (("a", "b"), ("version", "v1")))


def test_a_priority_that_is_too_high_and_two_weights_of_one_locality_are_refused() -> None:
    made = message.endpoints()
    made.endpoints[0].priority = 129
    with pytest.raises(ConfigError, match=r"^eds\.endpoints\[0\]\.priority: 129 is above 128$"):
        translate_endpoints(made, "eds")
    made = message.endpoints()
    made.endpoints.append(message.endpoints(port=2).endpoints[0])
    made.endpoints[1].load_balancing_weight.value = 2
    with pytest.raises(ConfigError, match="a locality has two load_balancing_weights"):
        translate_endpoints(made, "eds")


def _weightless(item: LbEndpoint) -> None:
    item.load_balancing_weight.value = 0


def _host_name(item: LbEndpoint) -> None:
    item.endpoint.address.socket_address.address = "catalog.shop"


def _port(number: int) -> Callable[[LbEndpoint], None]:
    def change(item: LbEndpoint) -> None:
        item.endpoint.address.socket_address.port_value = number

    return change


def _no_address(item: LbEndpoint) -> None:
    item.endpoint.Clear()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_weightless, ".load_balancing_weight: 0 is not from 1 to 2^31-1"),
        (_host_name, ".endpoint.address.socket_address.address: 'catalog.shop' is not an IP address"),
        (_port(0), ".endpoint.address: the port must not be 0"),
        (_port(65536), ".endpoint.address.socket_address.port_value: 65536 is above 65535"),
        (_no_address, ".endpoint.address: a socket_address is needed"),
        (labels({"app": 1}), ".metadata.filter_metadata['meshproxy.io']['app']: must be a string"),
    ],
)
def test_refused(change: Callable[[LbEndpoint], None], message: str) -> None:
    assert refusal(change) == message


def test_an_identity_that_is_none_is_refused() -> None:
    assert ".spiffe_id: SPIFFE id 'catalog'" in refusal(labels({"spiffe_id": "catalog"}))
