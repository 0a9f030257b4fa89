"""Strictness: whatever is set and not acted on is refused with its path."""

import importlib
import pkgutil

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration

import control_plane.api
from control_plane.api.envoy.config.cluster.v3.cluster_pb2 import Cluster
from control_plane.api.envoy.config.core.v3.address_pb2 import SocketAddress
from meshproxy.errors import ConfigError
from meshproxy.steps import finished
from meshproxy.xds import strict
from tests.unit.meshproxy.xds import xds_message as message


def refusal(made: Cluster) -> str:
    with pytest.raises(ConfigError) as refused:
        strict.check(made, "cds 'catalog'")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(strict, "_STEP_BYTES", 0)
        with pytest.raises(ConfigError) as refused_in_steps:
            finished(strict.checking(made, "cds 'catalog'"))
    assert str(refused_in_steps.value) == str(refused.value)
    return str(refused.value)


def test_what_is_acted_on_passes() -> None:
    strict.check(message.cluster(), "cds")
    strict.check(Cluster(), "cds")


def test_a_field_of_the_subset_that_is_not_acted_on_is_refused_by_name() -> None:
    made = message.cluster()
    made.alt_stat_name = "shop"
    expected = "cds 'catalog'.alt_stat_name: this field of envoy.config.cluster.v3.Cluster is not supported"
    assert refusal(made) == expected


def test_a_field_number_the_subset_does_not_know_is_refused_at_any_depth() -> None:
    made = message.cluster()
    made.eds_cluster_config.MergeFromString(b"\xc2\x3e\x01x")  # field 1000, a string
    expected = (
        "cds 'catalog'.eds_cluster_config: field number 1000 of"
        " envoy.config.cluster.v3.Cluster.EdsClusterConfig is not supported"
    )
    assert refusal(made) == expected


def test_unknown_fields_in_googles_own_types_are_refused_too() -> None:
    made = message.cluster()
    made.connect_timeout.MergeFromString(b"\xc2\x3e\x01x")
    assert "connect_timeout: field number 1000 of google.protobuf.Duration" in refusal(made)


def test_an_unknown_enum_value_is_refused() -> None:
    made = message.cluster()
    made.MergeFromString(b"\x30\x63")  # lb_policy (6) = 99
    assert (
        refusal(made) == "cds 'catalog'.lb_policy: 99 is not a known envoy.config.cluster.v3.Cluster.LbPolicy"
    )


def test_places_in_lists_and_maps_are_named() -> None:
    made = message.cluster()
    made.transport_socket_matches.add(name="first")
    made.transport_socket_matches.add().transport_socket.MergeFromString(b"\xc2\x3e\x01x")
    assert "cds 'catalog'.transport_socket_matches[1].transport_socket: field number 1000" in refusal(made)
    made = message.cluster()
    made.typed_extension_protocol_options["ext"].MergeFromString(b"\xc2\x3e\x01x")
    assert "cds 'catalog'.typed_extension_protocol_options['ext']: field number 1000" in refusal(made)


def test_a_message_that_is_in_no_table_may_have_no_field_set() -> None:
    address = message.endpoints().endpoints[0].lb_endpoints[0].endpoint.address
    address.pipe.path = "/run/socket"
    with pytest.raises(ConfigError, match=r"pipe: this field of envoy.config.core.v3.Address"):
        strict.check(address, "address")


def test_an_extension_of_another_type_is_refused_by_its_name() -> None:
    packed = AnyMessage(type_url="type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC")
    with pytest.raises(ConfigError, match=r"extension 'envoy.extensions.filters.http.rbac.v3.RBAC' is not"):
        strict.unpack(packed, SocketAddress, "here")


def test_bytes_that_are_no_message_are_refused() -> None:
    packed = message.packed(SocketAddress(address="1.2.3.4"))
    packed.value = b"\xff"
    with pytest.raises(ConfigError, match=r"here: not a valid envoy.config.core.v3.SocketAddress"):
        strict.unpack(packed, SocketAddress, "here")
    assert (
        strict.unpack(message.packed(SocketAddress(address="1.2.3.4")), SocketAddress, "").address
        == "1.2.3.4"
    )


def test_durations() -> None:
    assert strict.seconds(Duration(seconds=1, nanos=500_000_000), "t") == 1.5
    with pytest.raises(ConfigError, match=r"t: -1.0 s is negative"):
        strict.seconds(Duration(seconds=-1), "t")
    made = message.cluster()
    assert strict.seconds_or(made, "connect_timeout", 7.0, "cds") == 7.0
    made.connect_timeout.seconds = 2
    assert strict.seconds_or(made, "connect_timeout", 7.0, "cds") == 2.0


def test_the_table_names_only_messages_and_fields_that_exist() -> None:
    known = {}
    for module in pkgutil.walk_packages(control_plane.api.__path__, "control_plane.api."):
        if module.name.endswith("_pb2"):
            stack = list(importlib.import_module(module.name).DESCRIPTOR.message_types_by_name.values())
            while stack:
                descriptor = stack.pop()
                known[descriptor.full_name] = set(descriptor.fields_by_name)
                stack += descriptor.nested_types
    for name, fields in strict.ACTED_ON.items():
        assert fields <= known[name], name


def test_a_big_message_is_checked_in_steps_and_a_small_one_at_once() -> None:
    big = message.routes("80", *(f"service-{number}" for number in range(500)))
    assert sum(1 for _ in strict.checking(big, "rds '80'")) == 500
    assert sum(1 for _ in strict.checking(message.cluster(), "cds")) == 1


def test_a_field_can_be_left_to_the_caller() -> None:
    table = message.routes("80", "a")
    table.virtual_hosts[0].MergeFromString(b"\xc2\x3e\x01x")
    finished(strict.checking(table, "rds '80'", apart_from="virtual_hosts"))
    with pytest.raises(ConfigError):
        finished(strict.checking(table, "rds '80'"))
