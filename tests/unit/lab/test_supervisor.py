"""What the supervisor registers and how it starts processes."""

from pathlib import Path

from control_plane.options import parse_options
from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.registry import parse
from control_plane.resources.service import Service
from lab.lab_file import LabPlan, NodePlan
from lab.paths import LabPaths
from lab.process_plan import agent_commands, control_plane_command
from lab.state import LabOptions
from lab.system_object import system_objects


def test_the_labs_own_objects_are_valid_and_lead_to_the_control_plane() -> None:
    objects = [parse(manifest) for manifest in system_objects("10.244.0.2")]
    services = {entry.metadata.name: entry for entry in objects if isinstance(entry, Service)}
    [endpoints] = [entry for entry in objects if isinstance(entry, EndpointSlice)]
    assert services["kube-dns"].spec.cluster_ip == "10.96.0.10"
    assert endpoints.endpoints[0].addresses == ("10.244.0.2",)
    assert {p.name for p in endpoints.ports} == {p.name for p in services["control-plane"].spec.ports}


def test_the_control_plane_understands_its_command_line() -> None:
    chosen = LabOptions("PERMISSIVE", "REGISTRY_ONLY", 10)
    both = LabPlan(is_dual_stack=True)
    command = control_plane_command(LabPaths(Path("/lab")), Path("/net"), 7, chosen, both)
    assert command[:2] == ["nsenter", "--net=/net"]
    options = parse_options(command[command.index("control_plane") + 1 :])
    assert (options.rest_fd, options.leaf_ttl) == (7, 10.0)
    assert list(map(str, options.service_networks)) == ["10.96.0.0/16", "fd00:10:96::/112"]
    assert options.mesh.mtls_mode.value == "PERMISSIVE"
    assert options.mesh.outbound_traffic_policy.value == "REGISTRY_ONLY"


def test_every_node_has_a_kubelet_and_the_controllers_can_be_left_out() -> None:
    paths, two = LabPaths(Path("/lab")), LabPlan((NodePlan("a", 0), NodePlan("b", 1)))
    commands = agent_commands(paths, two, LabOptions())
    assert list(commands) == ["kubelet-a", "kubelet-b", "controller"]
    assert commands["kubelet-b"][-4:] == ["--root", "/lab", "--node", "b"]
    assert list(agent_commands(paths, LabPlan(), LabOptions(with_controllers=False))) == ["kubelet"]
