"""From a container to its launch plan."""

from pathlib import Path

import pytest

from control_plane.resources.container import Container
from lab.container_plan import (
    check_non_root,
    container_capabilities,
    container_groups,
    container_user,
    hosts_file,
    launch_plan,
    pod_names,
    sub_path,
)
from lab.environment import PodFacts, PodStartError
from lab.launch import LaunchPlan, Mount
from lab.pod_sources import PodSources
from tests.unit.lab.builders import pod

ROOT = Path("/run/meshproxy/lab/pods/p")


def container(**fields: object) -> Container:
    [made] = pod(containers=[{"name": "app", **fields}]).spec.containers
    return made


def test_the_user_is_the_containers_else_the_pods_else_one_of_its_own() -> None:
    plain = pod()
    assert container_user(plain, container(), "10.244.0.7") == (20007, 20007)
    assert container_user(plain, container(), "10.244.1.7") == (20263, 20263)
    named = pod(securityContext={"runAsUser": 500, "runAsGroup": 600})
    assert container_user(named, container(), "10.244.0.7") == (500, 600)
    assert container_user(named, container(securityContext={"runAsUser": 0}), "10.244.0.7") == (0, 600)


def test_capabilities_are_given_by_name_and_others_refused() -> None:
    def added(*names: str) -> list[int]:
        return container_capabilities(container(securityContext={"capabilities": {"add": [*names]}}))

    assert added("NET_RAW", "CAP_NET_ADMIN") == [12, 13]
    assert added() == []
    with pytest.raises(PodStartError, match="SYS_ADMIN is not given"):
        added("SYS_ADMIN")
    with pytest.raises(PodStartError, match="privileged"):
        container_capabilities(container(securityContext={"privileged": True}))


def plan(**spec: object) -> LaunchPlan:
    made = pod(**spec)
    facts = PodFacts(made, "10.244.0.7", "10.244.0.1", "node")
    return launch_plan(
        made.spec.containers[0],
        facts,
        PodSources(),
        network="/net",
        search_path="/venv/bin:/bin",
        source_root="/src",
        view=[Mount("/root")],
        pod_directory=ROOT,
    )


def test_a_plan_holds_command_user_variables_and_mounts() -> None:
    made = plan(
        containers=[
            {
                "name": "app",
                "command": ["run", "$(HOSTNAME)"],
                "env": [{"name": "A", "value": "1"}],
                "volumeMounts": [
                    {"name": "data", "mountPath": "/data", "subPath": "x"},
                    {"name": "conf", "mountPath": "/conf"},
                    {"name": "data", "mountPath": "/shown", "readOnly": True},
                ],
            }
        ],
        volumes=[{"name": "data", "emptyDir": {}}, {"name": "conf", "configMap": {"name": "c"}}],
    )
    assert made.argv == ["run", "web-1"]
    assert (made.uid, made.gid, made.cwd, made.hostname) == (20007, 20007, "/src", "web-1")
    assert (made.env["A"], made.env["PATH"], made.env["PYTHONPATH"]) == ("1", "/venv/bin:/bin", "/src")
    assert made.mounts == [
        Mount("/root"),
        Mount("/etc/resolv.conf", str(ROOT / "resolv.conf")),
        Mount("/etc/hosts", str(ROOT / "hosts")),
        Mount("/dev/termination-log", str(ROOT / "termination/app"), read_only=False),
        Mount("/conf", str(ROOT / "volumes/conf")),
        Mount("/data", str(ROOT / "volumes/data"), read_only=False, below="x"),
        Mount("/shown", str(ROOT / "volumes/data")),
    ]


def test_working_directory_and_host_name_may_be_chosen() -> None:
    made = plan(hostname="db", containers=[{"name": "app", "command": ["run"], "workingDir": "/tmp"}])
    assert (made.cwd, made.hostname) == ("/tmp", "db")


def test_a_plan_survives_the_way_to_the_process() -> None:
    made = plan()
    assert LaunchPlan.from_json(made.to_json()) == made


def test_the_hosts_file_names_the_pod() -> None:
    assert hosts_file(["10.244.0.7", "fd00::7"], ["web-1"]).endswith("10.244.0.7\tweb-1\nfd00::7\tweb-1\n")
    aliases = pod(hostAliases=[{"ip": "10.0.0.9", "hostnames": ["db", "db.example"]}]).spec.host_aliases
    assert hosts_file(["10.244.0.7"], ["a"], aliases).endswith("10.0.0.9\tdb db.example\n")


def test_a_pod_is_named_by_itself_its_host_name_and_its_subdomain() -> None:
    assert pod_names(pod()) == ("web-1", ["web-1"])
    full = "db.data.shop.svc.cluster.local"
    assert pod_names(pod(hostname="db", subdomain="data")) == ("db", [full, "db"])
    assert pod_names(pod(hostname="db", subdomain="data", setHostnameAsFQDN=True))[0] == full
    assert pod_names(pod(hostnameOverride="x.example")) == ("x.example", ["x.example"])


def test_groups_and_the_rule_against_root_come_from_the_pod() -> None:
    made = pod(securityContext={"fsGroup": 7, "supplementalGroups": [8, 9], "runAsNonRoot": True})
    assert container_groups(made) == [7, 8, 9]
    check_non_root(made, container(), 500)
    check_non_root(made, container(securityContext={"runAsNonRoot": False}), 0)
    with pytest.raises(PodStartError, match="non-root policy"):
        check_non_root(made, container(), 0)


def test_a_part_of_a_volume_may_be_named_by_variables_but_not_lie_outside() -> None:
    mounts = [{"name": "v", "mountPath": "/v", "subPathExpr": "a/$(N)"}]
    made = pod(containers=[{"name": "app", "volumeMounts": mounts}], volumes=[{"name": "v", "emptyDir": {}}])
    [mount] = made.spec.containers[0].volume_mounts
    assert sub_path(mount, {"N": "x"}) == "a/x"
    with pytest.raises(PodStartError, match="not below the volume"):
        sub_path(mount, {"N": "../.."})
