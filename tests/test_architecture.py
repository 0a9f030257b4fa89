"""The import table of the architecture, checked from the syntax trees: who imports whom, what pure means."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PACKAGES = {
    "certs": set(),
    "meshproxy": {"certs", "control_plane.api"},
    "control_plane": {"certs"},
    "injector": {"certs", "control_plane.api", "control_plane.client", "control_plane.kubeconfig"},
    "lab": {"control_plane.client", "control_plane.kubeconfig", "control_plane.resources", "injector"},
    "meshctl": {"certs", "meshproxy", "control_plane", "injector", "lab"},
    "bench": {"certs", "meshproxy", "control_plane", "lab"},
    "deploy": {"control_plane.client", "control_plane.resources", "lab"},
}
"""Package → what else of ours it may import. The API a package offers others is named to the module."""

LAYERS = [
    {"__main__"},
    {"main"},
    {"app"},
    {"workers"},
    {"admin", "xds", "bootstrap"},
    {"proxy"},
    {"filters", "upstream"},
    {"transport", "identity", "interception", "dns", "routing", "local_app"},
    {"http", "policy", "telemetry", "rpc"},
    {"config"},
    {"slicing"},
    {"_speedups", "clock", "errors", "tasks", "memory", "openssl", "steps"},
]
"""Inside meshproxy: a layer may import lower ones, and itself, but siblings in one layer never each other."""

PURE = [
    "certs/spiffe_id.py",
    "certs/rotation.py",
    "meshproxy/config",
    "meshproxy/http",
    "meshproxy/filters",
    "meshproxy/routing",
    "meshproxy/rpc/message.py",
    "meshproxy/rpc/status.py",
    "meshproxy/policy",
    "meshproxy/upstream/balancer",
    "meshproxy/upstream/pool.py",
    "meshproxy/dns/cache.py",
    "meshproxy/dns/mesh_names.py",
    "meshproxy/dns/message.py",
    "meshproxy/dns/name.py",
    "meshproxy/dns/reply.py",
    "meshproxy/transport/detect.py",
    "meshproxy/transport/filter_chain.py",
    "meshproxy/transport/proxy_protocol.py",
    "meshproxy/interception/rules.py",
    "meshproxy/local_app/probe.py",
    "meshproxy/proxy/edge.py",
    "meshproxy/proxy/outcome.py",
    "meshproxy/proxy/peer.py",
    "meshproxy/proxy/request_id.py",
    "meshproxy/telemetry/labels.py",
    "meshproxy/telemetry/names.py",
    "meshproxy/telemetry/exposition.py",
    "meshproxy/telemetry/transfer.py",
    "meshproxy/workers/config_change.py",
    "meshproxy/workers/frame.py",
    "meshproxy/workers/message.py",
    "meshproxy/workers/sums.py",
    "control_plane/apiserver/authorization.py",
    "control_plane/apiserver/defaulting.py",
    "control_plane/apiserver/discovery_document.py",
    "control_plane/apiserver/field_selector.py",
    "control_plane/apiserver/list_options.py",
    "control_plane/apiserver/openapi/document.py",
    "control_plane/apiserver/openapi/list_strategy.py",
    "control_plane/apiserver/openapi/schema.py",
    "control_plane/apiserver/paging.py",
    "control_plane/apiserver/request_attributes.py",
    "control_plane/apiserver/review.py",
    "control_plane/apiserver/selector.py",
    "control_plane/apiserver/table",
    "control_plane/attachment",
    "control_plane/index.py",
    "control_plane/snapshot.py",
    "control_plane/subscription.py",
    "control_plane/debounce.py",
    "control_plane/policy",
    "control_plane/translate",
    "deploy/grafana/control_plane.py",
    "deploy/grafana/expression.py",
    "deploy/grafana/grafana_json.py",
    "deploy/grafana/mesh.py",
    "deploy/grafana/panel.py",
    "deploy/grafana/service.py",
    "deploy/grafana/workload.py",
    "deploy/prometheus/discovery.py",
    "deploy/prometheus/lab_config.py",
    "injector/patch.py",
    "injector/probes.py",
    "injector/annotations.py",
    "injector/json_patch.py",
    "injector/manifest.py",
    "injector/metrics.py",
    "injector/override.py",
    "injector/pod_check.py",
    "injector/pod_template.py",
    "injector/quantity.py",
    "injector/status.py",
    "injector/template.py",
    "injector/webhook.py",
    "injector/registration.py",
    "injector/options.py",
    "injector/uninject.py",
    "lab/addressing.py",
    "lab/lab_file.py",
    "lab/pod_link.py",
    "lab/service_table.py",
    "lab/controllers/action.py",
    "lab/controllers/condition.py",
    "lab/controllers/deployment.py",
    "lab/controllers/deployment_status.py",
    "lab/controllers/endpoint_slices.py",
    "lab/controllers/job.py",
    "lab/controllers/moment.py",
    "lab/controllers/ownership.py",
    "lab/controllers/placement.py",
    "lab/controllers/pod_state.py",
    "lab/controllers/replica_set.py",
    "lab/controllers/revision.py",
    "lab/controllers/rollout.py",
    "lab/controllers/service_endpoint.py",
    "lab/dns_zone.py",
    "lab/resolv_conf.py",
    "lab/service_vip.py",
    "lab/topology.py",
    "meshctl/diagnose/address.py",
    "meshctl/diagnose/command_line.py",
    "meshctl/diagnose/ejection.py",
    "meshctl/diagnose/endpoints.py",
    "meshctl/diagnose/facts.py",
    "meshctl/diagnose/finding.py",
    "meshctl/diagnose/interception.py",
    "meshctl/diagnose/listening.py",
    "meshctl/diagnose/names.py",
    "meshctl/diagnose/pod_running.py",
    "meshctl/diagnose/policy.py",
    "meshctl/diagnose/question.py",
    "meshctl/diagnose/report.py",
    "meshctl/diagnose/routes.py",
    "meshctl/diagnose/sidecar.py",
    "meshctl/diagnose/traffic.py",
    "meshctl/diagnose/walk.py",
]
IMPURE_IMPORTS = {"asyncio", "socket", "ssl", "time", "logging", "grpc", "threading", "subprocess"}

FORBIDDEN_NAMES = {"utils", "common", "helpers", "manager", "misc"}


def sources(*parts: str) -> Iterator[Path]:
    for part in parts:
        path = ROOT / part
        found = [path] if path.suffix == ".py" else sorted(path.rglob("*.py"))
        yield from (file for file in found if not file.stem.endswith(("_pb2", "_pb2_grpc")))


def imports(path: Path) -> Iterator[tuple[str, ast.stmt]]:
    """Absolute names a module imports, also inside functions and `if TYPE_CHECKING`."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            yield module, node
            yield from ((f"{module}.{alias.name}", node) for alias in node.names)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_what_the_table_allows(package):
    wrong = []
    for path in sources(package):
        for name, _ in imports(path):
            top = name.partition(".")[0]
            if top not in PACKAGES or top == package:
                continue
            if not any(is_within(name, allowed) or is_within(allowed, name) for allowed in PACKAGES[package]):
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


def layer_of(module: str) -> int | None:
    return next((index for index, layer in enumerate(LAYERS) if module in layer), None)


def test_layers_inside_the_sidecar_point_downwards():
    wrong = []
    for path in sources("meshproxy"):
        own = path.relative_to(ROOT / "meshproxy").parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        own_layer = layer_of(own)
        assert own_layer is not None, f"{own} has no layer: give it one in LAYERS"
        for name, _ in imports(path):
            if not name.startswith("meshproxy."):
                continue
            other = name.split(".")[1]
            other_layer = layer_of(other)
            if other_layer is None or other == own:
                continue
            if other_layer <= own_layer:
                wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("part", PURE)
def test_pure_modules_do_no_io(part):
    wrong = []
    for path in sources(part):
        wrong += [
            f"{path.name} imports {name}" for name, _ in imports(path) if name.split(".")[0] in IMPURE_IMPORTS
        ]
        tree = ast.parse(path.read_text())
        wrong += [
            f"{path.name}:{node.lineno} is async"
            for node in ast.walk(tree)
            if isinstance(node, ast.AsyncFunctionDef | ast.Await)
        ]
    assert not wrong, "\n".join(wrong)


def test_everything_listed_as_pure_exists():
    assert all(list(sources(part)) for part in PURE)


def test_names_say_what_a_module_is_about():
    wrong = [path for package in PACKAGES for path in sources(package) if path.stem in FORBIDDEN_NAMES]
    assert not wrong


def test_packages_hold_no_logic_in_init():
    wrong = []
    for package in PACKAGES:
        for path in sources(package):
            if path.name != "__init__.py":
                continue
            statements = ast.parse(path.read_text()).body
            wrong += [
                str(path.relative_to(ROOT))
                for statement in statements
                if not isinstance(statement, ast.Import | ast.ImportFrom | ast.Expr)
            ]
    assert not wrong


def test_background_tasks_are_kept():
    """A bare `create_task` may vanish in mid-flight; the sidecar starts tasks through `TaskGroupRegistry`."""
    wrong = []
    for path in sources("meshproxy"):
        if path.name == "tasks.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
                function = node.value.func
                name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
                if name in {"create_task", "ensure_future"}:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not wrong


def test_files_stay_small():
    """500 lines is the limit of one idea; generated code is exempt."""
    wrong = [
        f"{path.relative_to(ROOT)}: {count} lines"
        for package in PACKAGES
        for path in sources(package)
        if (count := len(path.read_text().splitlines())) > 500
    ]
    assert not wrong, "\n".join(wrong)
