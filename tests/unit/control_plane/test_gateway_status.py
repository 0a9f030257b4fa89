"""What Gateways, their classes and their routes are told."""

from __future__ import annotations

import pytest

from control_plane.discovery.model import ObjectName
from control_plane.gateway_status import (
    backend_tls_status,
    class_status,
    gateway_status,
    ingress_status,
    write_gateway_status,
)
from control_plane.resources.manifest import Manifest, ObjectKey
from control_plane.status import parent_statuses
from control_plane.store.api import ObjectNotFound, VersionConflict
from tests import gateway_mesh as gw
from tests.contract.test_gateway import INGRESS_CLASS, backend_tls, ingress, paths, to
from tests.unit.control_plane import manifest_builder as build

KEY = ObjectName("edge", "gw")
GRANT: Manifest = {
    "apiVersion": gw.GATEWAY_API,
    "kind": "ReferenceGrant",
    "metadata": build.meta("g", "certs"),
    "spec": {
        "from": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "edge"}],
        "to": [{"group": "", "kind": "Secret"}],
    },
}


def status(*manifests: Manifest) -> Manifest:
    found = gateway_status(KEY, gw.index_of(*manifests).registry)
    assert found is not None
    return found[1]


def of(conditions: object) -> dict[str, tuple[str, str]]:
    assert isinstance(conditions, list)
    return {one["type"]: (one["status"], one["reason"]) for one in conditions}


def listeners(found: Manifest) -> dict[str, dict[str, tuple[str, str]]]:
    listed = found["listeners"]
    assert isinstance(listed, list)
    return {one["name"]: of(one["conditions"]) for one in listed}


def test_a_gateway_whose_listeners_are_served_by_a_pod() -> None:
    found = status(
        gw.gateway(gw.listener("web", 80), gw.https("secure", 443)),
        gw.secret("cert", "a.example"),
        *gw.app("app", 1),
        gw.route("app", build.rule(build.backend("app")), section="web"),
    )
    assert found["addresses"] == [{"type": "IPAddress", "value": "10.244.0.9"}]
    assert of(found["conditions"]) == {"Accepted": ("True", "Accepted"), "Programmed": ("True", "Programmed")}
    good = {
        "Accepted": ("True", "Accepted"),
        "Programmed": ("True", "Programmed"),
        "ResolvedRefs": ("True", "ResolvedRefs"),
        "Conflicted": ("False", "NoConflicts"),
    }
    assert listeners(found) == {"web": good, "secure": good}
    listed = found["listeners"]
    assert isinstance(listed, list)
    assert [one["attachedRoutes"] for one in listed] == [1, 0]
    assert listed[0]["supportedKinds"] == [
        {"group": "gateway.networking.k8s.io", "kind": kind} for kind in ("HTTPRoute", "GRPCRoute")
    ]


@pytest.mark.parametrize(
    ("listener", "more", "condition", "reason"),
    [
        (gw.https("l", 443), (), "ResolvedRefs", "InvalidCertificateRef"),
        (
            gw.https("l", 443, namespace="certs"),
            (gw.secret("cert", "a", namespace="certs"),),
            "ResolvedRefs",
            "RefNotPermitted",
        ),
        (
            gw.listener(
                "l", 443, "HTTPS", tls={"certificateRefs": [{"kind": "Vault", "group": "x", "name": "n"}]}
            ),
            (),
            "ResolvedRefs",
            "InvalidCertificateRef",
        ),
        (
            gw.listener("l", 443, "HTTPS", tls={"certificateRefs": [{"name": "a"}, {"name": "b"}]}),
            (),
            "ResolvedRefs",
            "InvalidCertificateRef",
        ),
        (gw.listener("l", 443, "UDP"), (), "Accepted", "UnsupportedProtocol"),
        (gw.listener("l", 15021), (), "Accepted", "PortUnavailable"),
        (
            gw.listener("l", 80, allowedRoutes={"kinds": [{"kind": "TCPRoute"}]}),
            (),
            "ResolvedRefs",
            "InvalidRouteKinds",
        ),
    ],
)
def test_a_listener_that_cannot_be_served_says_why(listener, more, condition, reason) -> None:
    found = status(gw.gateway(gw.listener("web", 8080), listener), *more)
    assert listeners(found)["l"][condition] == ("False", reason)
    if reason != "InvalidRouteKinds":
        assert listeners(found)["l"]["Programmed"][0] == "False"
        assert of(found["conditions"])["Accepted"] == ("True", "ListenersNotValid")
        assert of(found["conditions"])["Programmed"] == ("True", "Programmed")


def test_a_certificate_of_another_namespace_with_a_grant() -> None:
    found = status(
        gw.gateway(gw.https("l", 443, namespace="certs")), gw.secret("cert", "a", namespace="certs"), GRANT
    )
    assert listeners(found)["l"]["ResolvedRefs"] == ("True", "ResolvedRefs")


def test_a_key_of_another_certificate_is_told_without_a_word_of_it() -> None:
    one, other = gw.secret("cert", "a"), gw.secret("cert", "a")
    data, foreign = one["data"], other["data"]
    assert isinstance(data, dict)
    assert isinstance(foreign, dict)
    data["tls.key"] = foreign["tls.key"]
    found = status(gw.gateway(gw.https("l", 443)), one)
    assert listeners(found)["l"]["ResolvedRefs"] == ("False", "InvalidCertificateRef")
    assert "PRIVATE" not in str(found)
    assert "tls.key is not the key of tls.crt" in str(found)


def test_listeners_that_want_one_port_for_different_protocols_conflict() -> None:
    found = status(
        gw.gateway(gw.listener("a", 443), gw.https("b", 443), gw.listener("c", 80)), gw.secret("cert", "a")
    )
    assert listeners(found)["a"]["Conflicted"] == ("True", "ProtocolConflict")
    assert listeners(found)["b"]["Conflicted"] == ("True", "ProtocolConflict")
    assert listeners(found)["c"]["Conflicted"] == ("False", "NoConflicts")
    both = status(gw.gateway(gw.https("a", 443, "x.example"), gw.passthrough("b", 443, "x.example")))
    assert listeners(both)["b"]["Conflicted"] == ("True", "HostnameConflict")
    assert of(both["conditions"])["Accepted"] == ("False", "ListenersNotValid")


def test_without_pods_or_with_another_address_it_is_not_programmed() -> None:
    index = gw.index_of(gw.gateway(gw.listener("web", 80)))
    index.delete("Pod", "edge", "gw-1")
    found = gateway_status(KEY, index.registry)
    assert found is not None
    assert of(found[1]["conditions"])["Programmed"] == ("False", "AddressNotAssigned")
    wanted = status(gw.gateway(gw.listener("web", 80), addresses=[{"value": "192.0.2.1"}]))
    assert of(wanted["conditions"])["Programmed"] == ("False", "AddressNotUsable")


def test_classes_of_others_are_left_alone() -> None:
    other: Manifest = {**gw.GATEWAY_CLASS, "spec": {"controllerName": "example.com/other"}}
    index = gw.index_of(other, gw.gateway(gw.listener("web", 80)))
    assert class_status(ObjectName("", "mesh"), index.registry) is None
    assert gateway_status(KEY, index.registry) is None
    assert gateway_status(ObjectName("edge", "none"), index.registry) is None


def test_a_class_of_ours_is_accepted_unless_it_has_parameters() -> None:
    mine = class_status(ObjectName("", "mesh"), gw.index_of().registry)
    assert mine is not None
    assert of(mine[1]["conditions"]) == {"Accepted": ("True", "Accepted")}
    parameters = {"group": "x", "kind": "Y", "name": "z"}
    spec = {"controllerName": "meshproxy.io/gateway-controller", "parametersRef": parameters}
    found = class_status(ObjectName("", "mesh"), gw.index_of({**gw.GATEWAY_CLASS, "spec": spec}).registry)
    assert found is not None
    assert of(found[1]["conditions"]) == {"Accepted": ("False", "InvalidParameters")}


def told(*manifests: Manifest, kind: str = "HTTPRoute", name: str = "app") -> dict[str, tuple[bool, str]]:
    index = gw.index_of(*manifests)
    route = index.registry.routes.get(ObjectKey(kind, "edge", name))
    assert route is not None
    [conditions] = parent_statuses(route, index.registry)
    return {one.type: (one.status, one.reason) for one in conditions}


def test_a_route_is_told_whether_a_listener_takes_it() -> None:
    web = gw.gateway(gw.listener("web", 80, hostname="a.example"))
    app = gw.app("app", 1)
    rule = build.rule(build.backend("app"))
    good = told(web, *app, gw.route("app", rule))
    assert good == {"Accepted": (True, "Accepted"), "ResolvedRefs": (True, "ResolvedRefs")}
    assert told(web, *app, gw.route("app", rule, hostnames=("b.example",)))["Accepted"] == (
        False,
        "NoMatchingListenerHostname",
    )
    assert told(web, *app, gw.route("app", rule, section="none"))["Accepted"] == (False, "NoMatchingParent")
    kept = gw.gateway(gw.listener("web", 80, allowedRoutes={"namespaces": {"from": "None"}}))
    assert told(kept, *app, gw.route("app", rule))["Accepted"] == (False, "NotAllowedByListeners")
    foreign = gw.route("app", build.rule(build.backend("app", namespace="shop")))
    assert told(web, foreign)["ResolvedRefs"] == (False, "RefNotPermitted")


def test_routes_of_gateways_of_others_are_not_judged() -> None:
    index = gw.index_of(gw.route("app"))
    route = index.registry.routes.get(ObjectKey("HTTPRoute", "edge", "app"))
    assert route is not None
    assert parent_statuses(route, index.registry) == ()


def test_namespaces_are_selected_by_their_labels() -> None:
    selector = {"from": "Selector", "selector": {"matchLabels": {"team": "a"}}}
    web = gw.gateway(gw.listener("web", 80, allowedRoutes={"namespaces": selector}))
    route = gw.route("app", namespace="team-a")
    namespace: Manifest = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "team-a", "labels": {"team": "a"}},
    }
    for more, attached in (((), 0), ((namespace,), 1)):
        listed = status(web, route, *more)["listeners"]
        assert isinstance(listed, list)
        assert listed[0]["attachedRoutes"] == attached


class _Store:
    """Keeps one object; `error` is raised instead."""

    def __init__(self, stored: Manifest, error: Exception | None = None) -> None:
        self.stored, self.error, self.writes = stored, error, 0

    async def get(self, *key: str) -> Manifest:
        if self.error is not None:
            raise self.error
        return self.stored

    async def update_status(self, manifest: Manifest) -> None:
        self.stored, self.writes = manifest, self.writes + 1


async def test_a_status_is_written_once_and_keeps_the_times_of_what_did_not_change() -> None:
    made = gw.gateway(gw.listener("web", 80))
    registry = gw.index_of(made).registry
    store, key = _Store(made), ObjectKey("Gateway", "edge", "gw")
    assert await write_gateway_status(key, registry, store, lambda: 0.0)  # type: ignore[arg-type]
    assert await write_gateway_status(key, registry, store, lambda: 60.0)  # type: ignore[arg-type]
    assert store.writes == 1
    assert "'lastTransitionTime': '1970-01-01T00:00:00Z'" in str(store.stored["status"])
    assert "'observedGeneration': 1" in str(store.stored["status"])


@pytest.mark.parametrize(
    ("error", "is_done"),
    [
        (VersionConflict(ObjectKey("Gateway", "edge", "gw"), "x"), False),
        (ObjectNotFound(ObjectKey("Gateway", "edge", "gw")), True),
    ],
)
async def test_conflicts_are_tried_again_and_what_is_gone_is_left(error, is_done) -> None:
    made = gw.gateway(gw.listener("web", 80))
    registry, key = gw.index_of(made).registry, ObjectKey("Gateway", "edge", "gw")
    assert await write_gateway_status(key, registry, _Store(made, error), lambda: 0.0) is is_done  # type: ignore[arg-type]


async def test_an_older_version_is_not_judged() -> None:
    made = gw.gateway(gw.listener("web", 80))
    registry, key = gw.index_of(made).registry, ObjectKey("Gateway", "edge", "gw")
    stored = {**made, "metadata": {**build.meta("gw", "edge"), "generation": 2}}
    store = _Store(stored)
    assert await write_gateway_status(key, registry, store, lambda: 0.0)  # type: ignore[arg-type]
    assert store.writes == 0


def ancestors(*manifests: Manifest, name: str = "p") -> dict[str, tuple[str, str]]:
    found = backend_tls_status(ObjectName("edge", name), gw.index_of(*manifests).registry)
    assert found is not None
    listed = found[1]["ancestors"]
    assert isinstance(listed, list)
    assert [one["ancestorRef"]["name"] for one in listed] == ["gw"]
    return of(listed[0]["conditions"])


def test_a_policy_of_backends_is_told_by_gateway() -> None:
    world = (
        gw.gateway(gw.listener("web", 80)),
        *gw.app("app", 1),
        gw.route("app", build.rule(build.backend("app"))),
    )
    trusted = gw.config_map("backends", gw.CA.pem)
    ref = {"group": "", "kind": "ConfigMap", "name": "backends"}
    policy = backend_tls("p", caCertificateRefs=[ref])
    assert ancestors(*world, trusted, policy) == {
        "Accepted": ("True", "Accepted"),
        "ResolvedRefs": ("True", "ResolvedRefs"),
    }
    assert ancestors(*world, policy) == {
        "Accepted": ("False", "NoValidCACertificate"),
        "ResolvedRefs": ("False", "InvalidCACertificateRef"),
    }
    vault = backend_tls("p", caCertificateRefs=[{**ref, "kind": "Vault", "group": "x"}])
    assert ancestors(*world, vault)["ResolvedRefs"] == ("False", "InvalidKind")
    later = backend_tls("q", caCertificateRefs=[ref])
    assert ancestors(*world, trusted, policy, later, name="q")["Accepted"] == ("False", "Conflicted")
    gone = backend_tls_status(ObjectName("edge", "none"), gw.index_of().registry)
    assert gone is None


async def test_what_other_controllers_say_of_a_policy_stays() -> None:
    other: Manifest = {"ancestorRef": {"name": "x"}, "controllerName": "example.com/other", "conditions": []}
    policy = {**backend_tls("p", wellKnownCACertificates="System"), "status": {"ancestors": [other]}}
    registry = gw.index_of(
        gw.gateway(gw.listener("web", 80)),
        *gw.app("app", 1),
        gw.route("app", build.rule(build.backend("app"))),
        policy,
    ).registry
    store, key = _Store(policy), ObjectKey("BackendTLSPolicy", "edge", "p")
    for now in (0.0, 60.0):
        assert await write_gateway_status(key, registry, store, lambda now=now: now)  # type: ignore[arg-type, misc]
    assert store.writes == 1
    status = store.stored["status"]
    assert isinstance(status, dict)
    assert [one["controllerName"] for one in status["ancestors"]] == [
        "example.com/other",
        "meshproxy.io/gateway-controller",
    ]


def test_an_ingress_is_told_the_addresses_of_its_gateway() -> None:
    rule = paths("", ("Prefix", "/", to("app", 8080)))
    index = gw.index_of(gw.gateway(gw.listener("web", 80)), INGRESS_CLASS, ingress("one", rule))
    found = ingress_status(ObjectName("edge", "one"), index.registry)
    assert found == (1, {"loadBalancer": {"ingress": [{"ip": "10.244.0.9"}]}})
    assert ObjectKey("Ingress", "edge", "one") in index.delete("Pod", "edge", "gw-1").routes
    index.delete("IngressClass", "", "mesh")
    assert ingress_status(ObjectName("edge", "one"), index.registry) is None
    index.delete("Ingress", "edge", "one")
    assert ingress_status(ObjectName("edge", "one"), index.registry) is None
