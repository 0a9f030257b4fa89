"""Accepted resources for people: the same values as the whole conversion gives, but made part by part."""

import json

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.listener.v3.listener_pb2 import Listener
from control_plane.api.envoy.config.route.v3.route_pb2 import RouteConfiguration
from meshproxy.admin.json_text import json_slices
from meshproxy.xds.resource_view import MessageView, ResourceView
from tests.unit.meshproxy.xds import xds_message as message


def test_a_resource_can_be_read_by_people() -> None:
    shown = ResourceView(Listener, message.listener().SerializeToString())
    assert len(shown) == len(dict(shown)) == len(list(shown))
    assert shown["name"] == "0.0.0.0_80"
    assert shown["traffic_direction"] == "OUTBOUND"


@pytest.mark.parametrize(
    "resource", [message.cluster(), message.endpoints(), message.routes(), message.listener()]
)
def test_it_says_what_the_conversion_of_the_whole_says(resource: Message) -> None:
    shown = json.loads("".join(json_slices(ResourceView(type(resource), resource.SerializeToString()))))
    assert shown == MessageToDict(resource, preserving_proto_field_name=True)


def test_empty_messages_and_maps_are_shown() -> None:
    cluster = Cluster(name="c")
    cluster.load_assignment.SetInParent()
    cluster.metadata.filter_metadata["meshproxy.io"].update({"a": "b"})
    cluster.typed_extension_protocol_options["x"].SetInParent()
    shown = json.loads("".join(json_slices(ResourceView(Cluster, cluster.SerializeToString()))))
    assert shown == MessageToDict(cluster, preserving_proto_field_name=True)


def test_elements_of_a_list_are_converted_when_they_are_read() -> None:
    table = RouteConfiguration(name="80")
    for name in ("a", "b"):
        table.virtual_hosts.add(name=name, domains=[name])
    shown = ResourceView(RouteConfiguration, table.SerializeToString())["virtual_hosts"]
    assert isinstance(shown, list)
    assert [type(one) for one in shown] == [MessageView, MessageView]
    assert [(one["name"], len(one), list(one)) for one in shown] == [
        ("a", 2, ["name", "domains"]),
        ("b", 2, ["name", "domains"]),
    ]
