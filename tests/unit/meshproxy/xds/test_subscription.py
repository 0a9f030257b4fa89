"""The client's requests: what it asks for, and how it answers."""

from collections.abc import Sequence

from control_plane.api.envoy.config.core.v3.base_pb2 import Node
from control_plane.api.envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from meshproxy.xds.subscription import AdsState, Cursor, references
from meshproxy.xds.translate import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    ROUTE_TYPE,
    SHORT_NAMES,
    translate,
)
from tests.unit.meshproxy.xds import xds_message as message

Asked = list[tuple[str, str, str, list[str]]]


def asked(requests: Sequence[DiscoveryRequest]) -> Asked:
    """(short type, version, nonce, names) of each request."""
    return [
        (SHORT_NAMES[one.type_url], one.version_info, one.response_nonce, list(one.resource_names))
        for one in requests
    ]


class Client:
    def __init__(self) -> None:
        self.state = AdsState(Node(id="n1"))
        self.cursor = Cursor()

    def open(self) -> list[DiscoveryRequest]:
        self.cursor, requests = self.state.open_stream()
        return requests

    def receive(self, type_url: str, version: str, *parts: message.Part, nonce: str = "") -> Asked:
        bodies = [message.packed(part) for part in parts]
        response = DiscoveryResponse(
            type_url=type_url, version_info=version, nonce=nonce or version, resources=bodies
        )
        resources = translate(type_url, bodies, self.state.types[type_url].accepted)
        return asked(self.state.accept(self.cursor, response, resources))

    def refuse(self, type_url: str, version: str, reason: str) -> list[DiscoveryRequest]:
        response = DiscoveryResponse(type_url=type_url, version_info=version, nonce=version)
        return self.state.reject(self.cursor, response, reason)

    def names(self, type_url: str) -> set[str]:
        return set(self.state.types[type_url].accepted)


def configured() -> Client:
    client = Client()
    client.open()
    client.receive(CLUSTER_TYPE, "c1", message.cluster("a"), message.cluster("b"))
    client.receive(ENDPOINT_TYPE, "e1", message.endpoints("a"), message.endpoints("b"))
    client.receive(LISTENER_TYPE, "l1", message.listener())
    client.receive(ROUTE_TYPE, "r1", message.routes("80", "a"))
    return client


def test_a_first_stream_asks_for_all_clusters_and_listeners_and_says_who_it_is_once() -> None:
    requests = Client().open()
    assert asked(requests) == [("cds", "", "", []), ("lds", "", "", [])]
    assert [request.node.id for request in requests] == ["n1", ""]


def test_clusters_are_acknowledged_and_their_endpoints_asked_for() -> None:
    client = Client()
    client.open()
    assert client.receive(CLUSTER_TYPE, "c1", message.cluster("b"), message.cluster("a")) == [
        ("cds", "c1", "c1", []),
        ("eds", "", "", ["a", "b"]),
    ]
    assert client.receive(ENDPOINT_TYPE, "e1", message.endpoints("a"), message.endpoints("b")) == [
        ("eds", "e1", "e1", ["a", "b"])
    ]


def test_listeners_are_acknowledged_and_their_routes_asked_for() -> None:
    client = Client()
    client.open()
    inline = message.listener("tcp", message.tcp_proxy())
    default = message.listener("default")
    default.default_filter_chain.CopyFrom(
        message.listener(network=message.http_manager("81")).filter_chains[0]
    )
    assert client.receive(LISTENER_TYPE, "l1", message.listener(), inline, default) == [
        ("lds", "l1", "l1", []),
        ("rds", "", "", ["80", "81"]),
    ]


def test_unchanged_names_are_not_asked_for_again() -> None:
    client = configured()
    changed = message.cluster("a")
    changed.connect_timeout.seconds = 9
    answers = client.receive(CLUSTER_TYPE, "c2", changed, message.cluster("b"))
    assert answers == [("cds", "c2", "c2", [])]


def test_a_removed_cluster_takes_its_endpoints_along() -> None:
    client = configured()
    assert client.receive(CLUSTER_TYPE, "c2", message.cluster("a")) == [
        ("cds", "c2", "c2", []),
        ("eds", "e1", "e1", ["a"]),
    ]
    assert client.names(ENDPOINT_TYPE) == {"a"}
    assert client.receive(CLUSTER_TYPE, "c3") == [("cds", "c3", "c3", []), ("eds", "e1", "e1", [])]
    assert client.names(ENDPOINT_TYPE) == set()


def test_endpoints_come_piecewise_and_unasked_ones_are_dropped() -> None:
    client = configured()
    before = client.state.types[ENDPOINT_TYPE].accepted["a"]
    client.receive(ENDPOINT_TYPE, "e2", message.endpoints("b", 9), message.endpoints("stray"))
    accepted = client.state.types[ENDPOINT_TYPE].accepted
    assert set(accepted) == {"a", "b"}
    assert accepted["a"] is before


def test_a_refusal_names_the_last_good_version_and_keeps_it() -> None:
    client = configured()
    [nack] = client.refuse(CLUSTER_TYPE, "c2", "cds 'x': no")
    assert asked([nack]) == [("cds", "c1", "c2", [])]
    assert (nack.error_detail.code, nack.error_detail.message) == (3, "cds 'x': no")
    assert client.names(CLUSTER_TYPE) == {"a", "b"}
    state = client.state.types[CLUSTER_TYPE]
    assert (state.version, state.updates, state.rejected, state.last_rejection) == ("c1", 1, 1, "cds 'x': no")
    client.receive(CLUSTER_TYPE, "c3", message.cluster("a"))
    assert state.last_rejection == ""


def test_a_refusal_of_the_first_response_has_no_version() -> None:
    client = Client()
    client.open()
    assert asked(client.refuse(CLUSTER_TYPE, "c1", "no")) == [("cds", "", "c1", [])]


def test_a_long_reason_is_cut() -> None:
    [nack] = configured().refuse(CLUSTER_TYPE, "c2", "x" * 10_000)
    assert len(nack.error_detail.message) == 4096


def test_a_new_stream_asks_for_everything_known_with_versions_and_without_old_nonces() -> None:
    client = configured()
    requests = client.open()
    assert asked(requests) == [
        ("cds", "c1", "", []),
        ("eds", "e1", "", ["a", "b"]),
        ("lds", "l1", "", []),
        ("rds", "r1", "", ["80"]),
    ]
    assert [request.node.id for request in requests] == ["n1", "", "", ""]


def test_two_streams_keep_their_nonces_apart() -> None:
    client = configured()
    old = client.cursor
    client.open()
    client.receive(CLUSTER_TYPE, "c1", message.cluster("a"), message.cluster("b"), nonce="new-1")
    assert old.nonces[CLUSTER_TYPE] == "c1"
    assert client.cursor.nonces[CLUSTER_TYPE] == "new-1"


def test_a_static_cluster_needs_no_endpoints() -> None:
    client = Client()
    client.open()
    static = message.cluster("static")
    static.ClearField("eds_cluster_config")
    static.type = static.STATIC
    assert client.receive(CLUSTER_TYPE, "c1", static) == [("cds", "c1", "c1", [])]
    assert list(references((), ENDPOINT_TYPE)) == []
