"""Values that would be ignored, or do harm later, are refused with the path of their field."""

import pytest

from control_plane.discovery.parse import workload
from control_plane.resources.manifest import Manifest
from control_plane.resources.pod import Pod
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.resources.refusal import causes, with_spec

ROUTE = build.route("split")
POD = build.pod("web-1")
SERVICE: Manifest = {"group": "", "kind": "Service", "name": "catalog"}


@pytest.mark.parametrize("value", ["/a b", "/ä", "/%zz", "/a\nb", '/"', "/%4", "/{id}"])
def test_a_path_that_no_request_can_have(value: str) -> None:
    field = "spec.rules[0].matches[0].path.value"
    refused = causes(with_spec(ROUTE, rules=[build.rule(paths=[("Exact", value)])]))
    assert "characters of a URL path" in refused[field]


@pytest.mark.parametrize("value", ["/", "/a%20b", "/a;v=1/(x)!*'", "/~me/@b:c,d=e&f+$g"])
def test_every_path_that_a_request_can_have_is_accepted(value: str) -> None:
    assert causes(with_spec(ROUTE, rules=[build.rule(paths=[("PathPrefix", value)])])) == {}


def test_a_parent_named_twice() -> None:
    twice = causes(with_spec(ROUTE, parentRefs=[SERVICE, SERVICE]))
    assert "[1]: the same as one before it" in twice["spec.parentRefs"]
    half = causes(with_spec(ROUTE, parentRefs=[SERVICE, {**SERVICE, "port": 1}]))
    assert "[1]: sectionName or port must be set by all" in half["spec.parentRefs"]
    ports = [{**SERVICE, "port": 1}, {**SERVICE, "port": 2}, {**SERVICE, "namespace": "other"}]
    assert causes(with_spec(ROUTE, parentRefs=ports)) == {}


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "fe80::1",
        "::ffff:127.0.0.1",
        "fd00::1%eth0",
    ],
)
def test_an_endpoint_that_is_another_place_for_every_client(address: str) -> None:
    family = "IPv6" if ":" in address else "IPv4"
    wanted = {**build.endpoint_slice("catalog", build.endpoint(address)), "addressType": family}
    assert "must" in causes(wanted)["endpoints[0].addresses[0]"]


def test_an_account_named_in_the_deprecated_field_only() -> None:
    """It would run as `default`: under an identity that nobody asked for."""
    spec = {"containers": [{"name": "app"}]}
    assert "set serviceAccountName" in causes({**POD, "spec": {**spec, "serviceAccount": "boss"}})["spec"]
    both = {**spec, "serviceAccount": "boss", "serviceAccountName": "boss"}
    assert causes({**POD, "spec": both}) == {}


@pytest.mark.parametrize("quantity", [float("inf"), float("nan"), 10**400, -(10**400)])
def test_a_quantity_that_is_no_number_of_anything(quantity: float) -> None:
    container = {"name": "app", "resources": {"limits": {"cpu": quantity}}}
    assert (
        "must be a quantity"
        in causes(with_spec(POD, containers=[container]))["spec.containers[0].resources.limits.cpu"]
    )


def test_a_count_beyond_64_bits() -> None:
    assert "spec.terminationGracePeriodSeconds" in causes(with_spec(POD, terminationGracePeriodSeconds=2**63))


def test_an_annotation_with_an_endless_number_does_not_stop_discovery() -> None:
    ports = {"traffic.meshproxy.io/excludeInboundPorts": f"{'1' * 5000}, 8080 "}
    parsed = workload(Pod.parse(build.pod("web-1", annotations=ports)))
    assert parsed.excluded_inbound_ports == {8080}
