"""Snapshots: content versions, and nothing dangling."""

import pytest

from control_plane.snapshot import (
    CLUSTER_TYPE,
    ENDPOINT_TYPE,
    LISTENER_TYPE,
    ROUTE_TYPE,
    InconsistentSnapshot,
    Snapshot,
    resource_of,
)
from tests.unit.control_plane.xds_sample import cluster, endpoints, listener, route, shop


def test_equal_content_has_an_equal_version_in_any_order() -> None:
    assert shop("a", "b").version(CLUSTER_TYPE) == shop("b", "a").version(CLUSTER_TYPE)
    assert shop("a").version(CLUSTER_TYPE) != shop("b").version(CLUSTER_TYPE)


def test_a_change_of_one_type_leaves_the_versions_of_the_others() -> None:
    before, after = shop("a"), shop("a", endpoint_port=9)
    assert before.version(ENDPOINT_TYPE) != after.version(ENDPOINT_TYPE)
    for type_url in (CLUSTER_TYPE, LISTENER_TYPE, ROUTE_TYPE):
        assert before.version(type_url) == after.version(type_url)


def test_a_resource_does_not_follow_later_changes_of_its_message() -> None:
    message = cluster("a")
    resource = resource_of(message)
    message.name = "b"
    assert resource.name == "a"
    assert resource == resource_of(cluster("a"))


def test_references_are_found_in_every_chain_and_under_the_eds_service_name() -> None:
    assert resource_of(listener("l", rds="80")).references == {"80"}
    assert resource_of(listener("l", rds="81", default=True)).references == {"81"}
    assert resource_of(listener("l")).references == frozenset()
    assert resource_of(cluster("a")).references == {"a"}
    assert resource_of(cluster("a", eds="shared")).references == {"shared"}
    assert resource_of(cluster("a", eds=None)).references == frozenset()
    assert resource_of(endpoints("a")).references == frozenset()


def test_dangling_references_are_named() -> None:
    snapshot = Snapshot.of_messages([listener("l", rds="80"), cluster("a"), cluster("b"), endpoints("b")])
    assert snapshot.problems() == ["lds 'l' needs rds '80'", "cds 'a' needs eds 'a'"]
    assert not snapshot.consistent()


def test_a_whole_snapshot_is_consistent_also_with_something_to_spare() -> None:
    assert shop("a", "b").consistent()
    assert Snapshot.of_messages([route("unused"), endpoints("unused")]).consistent()
    assert Snapshot().consistent()


def test_one_name_twice_is_refused() -> None:
    with pytest.raises(InconsistentSnapshot, match="cds resource 'a' is given twice"):
        Snapshot.of_messages([cluster("a"), cluster("a", connect_timeout=2)])
