"""A whole response: all of it, or every refusal by name."""

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage

from meshproxy.config.model import Cluster, Listener
from meshproxy.config.route import RouteTable
from meshproxy.errors import ConfigError
from meshproxy.xds.translate import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    ROUTE_TYPE,
    translate,
)
from tests.unit.meshproxy.xds import xds_message as message


def bodies(*parts: message.Part) -> list[AnyMessage]:
    return [message.packed(part) for part in parts]


def refusal(type_url: str, *parts: message.Part) -> str:
    with pytest.raises(ConfigError) as refused:
        translate(type_url, bodies(*parts))
    return str(refused.value)


def test_each_type_becomes_its_value() -> None:
    assert isinstance(translate(CLUSTER_TYPE, bodies(message.cluster()))["catalog"].value, Cluster)
    assert isinstance(translate(LISTENER_TYPE, bodies(message.listener()))["0.0.0.0_80"].value, Listener)
    assert isinstance(translate(ROUTE_TYPE, bodies(message.routes()))["80"].value, RouteTable)
    assert isinstance(translate(ENDPOINT_TYPE, bodies(message.endpoints()))["catalog"].value, tuple)
    assert translate(CLUSTER_TYPE, []) == {}


def test_the_same_bytes_keep_their_object() -> None:
    before = translate(CLUSTER_TYPE, bodies(message.cluster("a"), message.cluster("b")))
    changed = message.cluster("b")
    changed.connect_timeout.seconds = 9
    after = translate(CLUSTER_TYPE, bodies(message.cluster("a"), changed), before)
    assert after["a"] is before["a"]
    assert after["b"] is not before["b"]


def test_every_refused_resource_is_named_up_to_a_limit() -> None:
    bad = [message.cluster(f"bad-{number}") for number in range(7)]
    for item in bad:
        item.alt_stat_name = "x"
    text = refusal(CLUSTER_TYPE, message.cluster("good"), *bad)
    assert text.startswith("cds 'bad-0'.alt_stat_name: ")
    assert text.endswith("; and 2 more")
    assert ("'bad-4'" in text, "'bad-5'" in text, "good" in text) == (True, False, False)


def test_a_refusal_does_not_grow_with_what_the_sender_wrote() -> None:
    bad = message.cluster("x" * 100_000)
    bad.alt_stat_name = "x"
    assert len(refusal(CLUSTER_TYPE, bad)) <= 500


def test_one_name_twice_is_refused() -> None:
    assert refusal(CLUSTER_TYPE, message.cluster(), message.cluster()) == (
        "cds 'catalog': given twice in one response"
    )


def test_a_resource_without_a_name_is_refused_by_its_place() -> None:
    assert (
        refusal(CLUSTER_TYPE, message.cluster("a"), message.cluster("")) == "cds resources[1]: it has no name"
    )


def test_a_resource_of_another_type_is_refused() -> None:
    text = refusal(CLUSTER_TYPE, message.endpoints())
    assert text.startswith(
        "cds resources[0]: 'envoy.config.endpoint.v3.ClusterLoadAssignment' in a response of"
    )


def test_bytes_that_are_no_message_are_refused_by_their_place() -> None:
    with pytest.raises(ConfigError, match=r"eds resources\[0\]: not a valid"):
        translate(ENDPOINT_TYPE, [AnyMessage(type_url=ENDPOINT_TYPE, value=b"\xff")])
