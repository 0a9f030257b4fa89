"""Which kubelet and which container a request for logs is about."""

from pathlib import Path

import pytest

from control_plane.apiserver.failure import Failure
from control_plane.apiserver.kubelet import KubeletFiles, Kubelets, chosen_container
from tests.unit.control_plane.apiserver.conftest import Api

NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-0"}}


def pod(*names: str, init: tuple[str, ...] = (), node: str = "node-0") -> dict:
    spec = {
        "containers": [{"name": name, "image": "x"} for name in names],
        "initContainers": [{"name": name, "image": "x"} for name in init],
        "nodeName": node,
    }
    meta = {"name": "web", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def test_the_only_container_is_meant():
    assert chosen_container(pod("app", init=("setup",)), "") == "app"
    assert chosen_container(pod("app", init=("setup",)), "setup") == "setup"


def test_one_of_several_must_be_named():
    several = r"choose one of: \[app side\] or one of the init containers: \[setup\]"
    with pytest.raises(Failure, match=several):
        chosen_container(pod("app", "side", init=("setup",)), "")
    with pytest.raises(Failure, match=r"choose one of: \[app side\]$"):
        chosen_container(pod("app", "side"), "")
    with pytest.raises(Failure, match="container db is not valid for pod web"):
        chosen_container(pod("app"), "db")


@pytest.mark.parametrize(
    ("addresses", "authority"),
    [
        (
            [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "10.0.0.1"}],
            "10.0.0.1:10250",
        ),
        ([{"type": "InternalIP", "address": "fd00::1"}], "[fd00::1]:10250"),
        ([{"type": "Hostname", "address": "n"}], "n:10250"),
    ],
)
async def test_where_a_kubelet_is(api: Api, addresses: list[dict], authority: str):
    endpoints = {"kubeletEndpoint": {"Port": 10250}}
    await api.store.create({**NODE, "status": {"addresses": addresses, "daemonEndpoints": endpoints}})
    await api.store.create(pod("app"))
    place = await Kubelets(api.store, None).place("default", "web", "")
    assert place is not None
    assert (place.authority, place.path("containerLogs")) == (authority, "/containerLogs/default/web/app")


async def test_kubelets_that_cannot_be_asked(api: Api, tmp_path: Path):
    kubelets = Kubelets(api.store, None)
    await api.store.create(pod("app"))
    with pytest.raises(Failure, match='node "node-0", which does not exist'):
        await kubelets.place("default", "web", "")
    await api.store.create(NODE)
    with pytest.raises(Failure, match="tells no address or port"):
        await kubelets.place("default", "web", "")
    with pytest.raises(Failure, match="--kubelet-client-certificate"):
        kubelets.tls()
    nowhere = KubeletFiles(*(tmp_path / name for name in ("ca", "crt", "key")))
    with pytest.raises(Failure, match="cannot be used"):
        Kubelets(api.store, nowhere).tls()


async def test_a_pod_without_a_node_is_nowhere(api: Api):
    await api.store.create(pod("app", node=""))
    assert await Kubelets(api.store, None).place("default", "web", "") is None


async def test_over_http_a_kubelet_out_of_reach_is_an_error_of_the_server(api: Api):
    endpoints = {"kubeletEndpoint": {"Port": 1}}
    addresses = [{"type": "InternalIP", "address": "127.0.0.1"}]
    await api.store.create({**NODE, "status": {"addresses": addresses, "daemonEndpoints": endpoints}})
    await api.store.create(pod("app"))
    path = "/api/v1/namespaces/default/pods/web"
    assert (await api.call("GET", f"{path}/log"))[0] == 500
    code, answer = await api.call("GET", f"{path}/log", sinceSeconds="1", sinceTime="2026-01-01T00:00:00Z")
    assert (code, "at most one" in str(answer["message"])) == (422, True)
    assert (await api.call("GET", f"{path}/log", tailLines="-1"))[0] == 400
    code, answer = await api.call("POST", f"{path}/exec", command="ls")
    assert (code, "Upgrade request required" in str(answer["message"])) == (400, True)
    assert (await api.call("GET", f"{path}/exec"))[0] == 400
