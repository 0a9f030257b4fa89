"""How each process of a lab is started (pure): names and command lines.

Every one of them dies with the supervisor, whatever ends that.
"""

import sys
from pathlib import Path

from lab.addressing import SERVICE_NETWORK, SERVICE_NETWORK_6, Network
from lab.foreign import INJECTOR_NAME
from lab.lab_file import LabPlan
from lab.paths import LabPaths
from lab.state import LabOptions

CONTROL_PLANE = "control-plane"
CONTROLLER = "controller"
KUBELET = "kubelet"


def service_networks(plan: LabPlan) -> tuple[Network, ...]:
    """Of which Services get their addresses."""
    return (SERVICE_NETWORK, SERVICE_NETWORK_6) if plan.is_dual_stack else (SERVICE_NETWORK,)


def control_plane_command(
    paths: LabPaths, network: Path, api: int | Path, options: LabOptions, plan: LabPlan
) -> list[str]:
    """The control plane, in its own network namespace. `api`: the socket on which it serves REST, or the
    kubeconfig of the API server that does."""
    return [
        *("nsenter", f"--net={network}", "--"),
        *_python("control_plane"),
        *("--data-dir", str(paths.control_plane)),
        *("--mtls-mode", options.mtls_mode),
        *("--outbound-traffic-policy", options.outbound_traffic_policy),
        *("--leaf-ttl", str(options.leaf_ttl)),
        *(_served(paths, api, plan) if isinstance(api, int) else _attached(api)),
    ]


def _attached(kubeconfig: Path) -> list[str]:
    return ["--kubeconfig", str(kubeconfig), "--injector-name", INJECTOR_NAME]


def _served(paths: LabPaths, rest_fd: int, plan: LabPlan) -> list[str]:
    return [
        *("--rest-fd", str(rest_fd)),
        *("--service-cluster-ip-range", ",".join(map(str, service_networks(plan)))),
        *("--kubelet-certificate-authority", str(paths.kubelet / "ca.crt")),
        *("--kubelet-client-certificate", str(paths.kubelet / "apiserver.crt")),
        *("--kubelet-client-key", str(paths.kubelet / "apiserver.key")),
    ]


def agent_commands(paths: LabPaths, plan: LabPlan, options: LabOptions) -> dict[str, list[str]]:
    """What needs the API: a kubelet for each node, and the controllers. By name, in the order in which they
    are ended: pods before what they talk to."""
    root = ["--root", str(paths.root)]
    dns = ["--dns-upstream", options.dns_upstream] if options.dns_upstream else []
    commands = {
        kubelet_name(plan, node.name): [*_python("lab.kubelet"), *root, "--node", node.name, *dns]
        for node in plan.nodes
    }
    if options.with_controllers:
        commands[CONTROLLER] = [*_python("lab.controller"), *root]
    return commands


def kubelet_name(plan: LabPlan, node: str) -> str:
    """Of the process, its log, and its entry in the state file."""
    return KUBELET if len(plan.nodes) == 1 else f"{KUBELET}-{node}"


def _python(module: str) -> list[str]:
    return ["setpriv", "--pdeathsig=KILL", "--", sys.executable, "-m", module]
