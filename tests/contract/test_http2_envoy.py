"""Stock Envoy and our sidecar take what the control plane emits for HTTP/2 and gRPC."""

from __future__ import annotations

from pathlib import Path

import pytest

from control_plane.index import Index
from control_plane.resources.manifest import Manifest
from control_plane.translate.settings import MeshSettings
from tests import gateway_mesh as gw
from tests.contract.envoy_validation import refusal
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate import mesh

GRPC = [{"name": "grpc", "port": 8080}, {"name": "h2c", "port": 9090}]
NODE_ID = "sidecar~10.244.0.7~web-1.shop~shop.svc.cluster.local"


def policy(kind: str, name: str, **spec: object) -> Manifest:
    return {
        "apiVersion": "meshproxy.io/v1alpha1",
        "kind": kind,
        "metadata": build.meta(name),
        "spec": {"targetRefs": [{"group": "", "kind": "Service", "name": "catalog"}], **spec},
    }


def world() -> Index:
    change = {"set": [{"name": "x-a", "value": "1"}]}
    rules = [
        build.call_rule(
            build.backend("catalog", weight=3),
            build.backend("gone", weight=1),
            methods=[
                {"service": "shop.v1.Catalog", "method": "List"},
                {"service": "shop.v1.Catalog"},
                {"method": "Get"},
                {"type": "RegularExpression", "service": r"shop\\.v[0-9]+\\..*", "method": "Get|List"},
            ],
            filters=[
                {"type": "RequestHeaderModifier", "requestHeaderModifier": change},
                {"type": "ResponseHeaderModifier", "responseHeaderModifier": change},
                {"type": "RequestMirror", "requestMirror": {"backendRef": build.backend("pods")}},
            ],
        ),
        build.call_rule(build.backend("gone"), methods=[{"service": "shop.v1.Gone"}]),
        build.call_rule(build.backend("catalog"), sessionPersistence={}),
    ]
    index = Index()
    for manifest in (
        build.service("catalog", *GRPC),
        build.service("pods", *GRPC, vip="None"),
        build.pod("web-1", app="catalog"),
        build.endpoint_slice("catalog", build.endpoint("10.244.0.7", "web-1"), ports=[("grpc", 8080)]),
        build.endpoint_slice("pods", build.endpoint("10.244.0.7", "web-1"), ports=[("grpc", 8080)]),
        build.grpc_route("calls", *rules, parents=[build.service_parent(port=8080)]),
        policy(
            "TrafficPolicy",
            "t",
            retry={"retryOn": ["unavailable", "cancelled", "deadline-exceeded", "internal"]},
            healthCheck={"grpc": {"service": "shop.v1.Catalog"}},
            limits={"maxRequestsPerConnection": 1000},
        ),
        policy("FaultPolicy", "f", abort={"grpcStatus": 14, "percent": 1}),
    ):
        index.apply(manifest)
    return index


@pytest.mark.parametrize("settings", [mesh.STRICT, mesh.PERMISSIVE, mesh.DISABLED])
def test_envoy_validates_everything_of_a_sidecar(settings: MeshSettings, tmp_path: Path) -> None:
    assert refusal(mesh.translate(world(), mesh.ENVOY, settings), NODE_ID, tmp_path) == ""


@pytest.mark.parametrize("settings", [mesh.STRICT, mesh.PERMISSIVE, mesh.DISABLED])
def test_our_sidecar_takes_it_too(settings: MeshSettings) -> None:
    config = gw.accepted(mesh.translate(world(), mesh.WEB, settings))
    cluster = config.clusters["outbound|8080||catalog.shop.svc.cluster.local"]
    assert cluster.http2
    assert cluster.health_check is not None
    assert config.clusters["inbound|8080||"].http2
