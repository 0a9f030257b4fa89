"""Stock Envoy takes what the control plane emits for gateways: its own validation, nothing contacted."""

from __future__ import annotations

from pathlib import Path

from control_plane.resources.manifest import Manifest
from control_plane.snapshot import LISTENER_TYPE
from tests import gateway_mesh as gw
from tests.contract.envoy_validation import refusal
from tests.contract.test_gateway import backend_tls
from tests.unit.control_plane import manifest_builder as build


def test_envoy_validates_everything_of_a_gateway(tmp_path: Path) -> None:
    validation = {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "clients"}]}
    redirect: Manifest = {"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}]}
    index = gw.index_of(
        gw.gateway(
            gw.listener("web", 80),
            gw.listener("wild", 80, hostname="*.example"),
            gw.https("secure", 443, "a.example"),
            gw.https("rest", 443, secret="other"),
            gw.passthrough("through", 443, "*.through.example"),
            gw.listener("raw", 9000, "TCP"),
            tls={"frontend": {"default": {"validation": validation}}},
            annotations={
                "gateway.meshproxy.io/xff-num-trusted-hops": "2",
                "gateway.meshproxy.io/proxy-protocol": "true",
            },
        ),
        gw.secret("cert", "a.example"),
        gw.secret("other", "b.example"),
        gw.config_map("clients", gw.CLIENTS.pem),
        gw.config_map("backends", gw.CA.pem),
        *gw.app("app", 8080),
        *gw.app("own", 8443, declared=False),
        gw.route("redirect", redirect, section="web"),
        gw.route(
            "app", build.rule(build.backend("app"), paths=[("PathPrefix", "/a")]), hostnames=("x.example",)
        ),
        gw.tls_route("own", "own", "a.through.example"),
        {**gw.tls_route("raw", "own"), "kind": "TCPRoute"} | {"spec": _raw()},
        backend_tls("p", caCertificateRefs=[{"group": "", "kind": "ConfigMap", "name": "backends"}]),
    )
    snapshot = gw.snapshot_of(index, gw.ENVOY)
    assert set(snapshot.of_type(LISTENER_TYPE)) == {"edge/gw/80", "edge/gw/443", "edge/gw/9000"}
    assert refusal(snapshot, "router~10.244.0.9~gw-1.edge~edge.svc.cluster.local", tmp_path) == ""


def _raw() -> Manifest:
    return {
        "parentRefs": [{"name": "gw", "namespace": "edge", "sectionName": "raw"}],
        "rules": [{"backendRefs": [build.backend("own")]}],
    }
