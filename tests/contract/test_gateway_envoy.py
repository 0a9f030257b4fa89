"""Stock Envoy takes what the control plane emits for gateways: its own validation, nothing contacted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from google.protobuf.json_format import MessageToDict

from control_plane.resources.manifest import Manifest
from control_plane.snapshot import CLUSTER_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE, Snapshot
from meshproxy.xds.translate import MESSAGES
from tests import gateway_mesh as gw
from tests.contract.test_gateway import backend_tls
from tests.unit.control_plane import manifest_builder as build

ENVOY = Path(sys.executable).with_name("envoy")
HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def messages(snapshot: Snapshot, type_url: str) -> list[dict[str, object]]:
    found = []
    for resource in snapshot.of_type(type_url).values():
        message = MESSAGES[type_url].FromString(resource.body.value)
        found.append(MessageToDict(message, preserving_proto_field_name=True))
    return found


def probe(table: dict[str, object], number: int) -> dict[str, object]:
    """A listener with a route table inside: Envoy looks at it when it comes by RDS only."""
    manager = {
        "@type": f"type.googleapis.com/{HCM}",
        "stat_prefix": "probe",
        "route_config": table,
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
                },
            }
        ],
    }
    return {
        "name": f"probe-{number}",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 20000 + number}},
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


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
    listeners = messages(snapshot, LISTENER_TYPE)
    tables = messages(snapshot, ROUTE_TYPE)
    assert {str(one["name"]) for one in listeners} == {"edge/gw/80", "edge/gw/443", "edge/gw/9000"}
    clusters = messages(snapshot, CLUSTER_TYPE)
    bootstrap = {
        "node": {"id": "router~10.244.0.9~gw-1.edge~edge.svc.cluster.local", "cluster": "edge"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            }
        },
        "static_resources": {
            "listeners": [*listeners, *(probe(table, number) for number, table in enumerate(tables))],
            "clusters": [
                {"name": "xds-grpc", "type": "STATIC", "load_assignment": {"cluster_name": "xds-grpc"}},
                *clusters,
            ],
            "secrets": messages(snapshot, SECRET_TYPE),
        },
    }
    secrets_dir = tmp_path / "sds"
    secrets_dir.mkdir()
    for name in ("default.yaml", "rootca.yaml"):
        (secrets_dir / name).write_text("resources: []\n")
    path = tmp_path / "envoy.json"
    path.write_text(json.dumps(bootstrap).replace("/sds/", f"{secrets_dir}/"))
    done = subprocess.run(
        [str(ENVOY), "--mode", "validate", "-c", str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def _raw() -> Manifest:
    return {
        "parentRefs": [{"name": "gw", "namespace": "edge", "sectionName": "raw"}],
        "rules": [{"backendRefs": [build.backend("own")]}],
    }
