"""Who may refer to what, across namespaces."""

import pytest

from control_plane.attachment.backend import backend_problem
from control_plane.attachment.grant import is_granted
from control_plane.discovery.model import ObjectName
from control_plane.discovery.parse_route import reference_grant
from control_plane.discovery.route import ObjectRef
from control_plane.resources.manifest import Manifest
from control_plane.resources.reference_grant import ReferenceGrant
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.attachment.routes import index_of, parsed

GROUP = "gateway.networking.k8s.io"
TARGET = ObjectRef("", "Service", ObjectName("other", "v1"), 8080)


def _granted(namespace: str = "shop", **grant: object) -> bool:
    wanted = {"namespace": "other", "from_namespace": "shop", **grant}
    value = reference_grant(ReferenceGrant.parse(build.reference_grant("g", **wanted)))  # type: ignore[arg-type]
    return is_granted([value], group=GROUP, kind="HTTPRoute", namespace=namespace, target=TARGET)


def test_a_grant_names_source_and_target() -> None:
    assert _granted()
    assert _granted(to={"group": "", "kind": "Service", "name": "v1"})


@pytest.mark.parametrize(
    "grant",
    [
        {"namespace": "third"},
        {"from_namespace": "third"},
        {"from_kind": "TCPRoute"},
        {"to": {"group": "", "kind": "Service", "name": "v2"}},
        {"to": {"group": "", "kind": "Secret"}},
    ],
)
def test_what_it_does_not_name_is_not_granted(grant: Manifest) -> None:
    assert not _granted(**grant)


def test_at_home_no_grant_is_needed() -> None:
    assert is_granted([], group=GROUP, kind="HTTPRoute", namespace="other", target=TARGET)


def test_routes_of_gateways_need_one_and_routes_of_services_do_not() -> None:
    other = build.service("v1", namespace="other", vip="10.96.0.9")
    route = parsed(build.route("r", build.rule(build.backend("v1", namespace="other"))))
    index = index_of(other)
    assert backend_problem("f", TARGET, route, index.registry, needs_grant=False) is None
    problem = backend_problem("f", TARGET, route, index.registry, needs_grant=True)
    assert problem is not None
    assert (problem.reason, problem.message.split(":")[0]) == ("RefNotPermitted", "f.namespace")
    index.apply(build.reference_grant("let", namespace="other", from_namespace="shop"))
    assert backend_problem("f", TARGET, route, index.registry, needs_grant=True) is None
    index.delete("ReferenceGrant", "other", "let")
    assert backend_problem("f", TARGET, route, index.registry, needs_grant=True) is not None
