"""Stock Envoy's own validation of a snapshot: everything in a bootstrap, nothing contacted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from google.protobuf.json_format import MessageToDict

from control_plane.snapshot import CLUSTER_TYPE, LISTENER_TYPE, ROUTE_TYPE, SECRET_TYPE, Snapshot
from meshproxy.xds.translate import MESSAGES

ENVOY = Path(sys.executable).with_name("envoy")
_HCM = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def messages(snapshot: Snapshot, type_url: str) -> list[dict[str, object]]:
    found = []
    for resource in snapshot.of_type(type_url).values():
        message = MESSAGES[type_url].FromString(resource.body.value)
        found.append(MessageToDict(message, preserving_proto_field_name=True))
    return found


def refusal(snapshot: Snapshot, node_id: str, tmp_path: Path) -> str:
    """What Envoy says against it; empty when it takes everything."""
    tables = messages(snapshot, ROUTE_TYPE)
    bootstrap = {
        "node": {"id": node_id, "cluster": "c"},
        "dynamic_resources": {
            "ads_config": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}],
            }
        },
        "static_resources": {
            "listeners": [
                *messages(snapshot, LISTENER_TYPE),
                *(_probe(table, number) for number, table in enumerate(tables)),
            ],
            "clusters": [
                {"name": "xds-grpc", "type": "STATIC", "load_assignment": {"cluster_name": "xds-grpc"}},
                *messages(snapshot, CLUSTER_TYPE),
            ],
            "secrets": messages(snapshot, SECRET_TYPE),
        },
    }
    secrets_dir = tmp_path / "sds"
    secrets_dir.mkdir(exist_ok=True)
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
    return done.stderr[-3000:] if done.returncode else ""


def _probe(table: dict[str, object], number: int) -> dict[str, object]:
    """A listener with a route table inside: Envoy looks at it when it comes by RDS only."""
    router = {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}
    manager = {
        "@type": f"type.googleapis.com/{_HCM}",
        "stat_prefix": "probe",
        "route_config": {**table, "validate_clusters": False},  # as for a table that comes by RDS
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    }
    chain = {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
    return {
        "name": f"probe-{number}",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 20000 + number}},
        "filter_chains": [chain],
    }
