"""A lab on somebody else's API server: the way there, what is put there, what is taken away."""

import socket
from ipaddress import IPv4Address
from pathlib import Path
from typing import cast

import pytest

from control_plane.client import ApiClient, NotFound, ObjectList
from control_plane.kubeconfig import Kubeconfig
from control_plane.resources.manifest import Manifest, key_of
from lab import foreign
from lab.foreign import ForeignAccess, ForeignApiError
from lab.injector_host import InjectorHost, injector_objects, injector_pod
from lab.lab_file import LabPlan
from lab.network import PodNetwork
from lab.paths import LabPaths
from lab.process_plan import control_plane_command
from lab.state import LabOptions
from lab.system_object import system_objects

ADDRESS = IPv4Address("10.244.0.3")
MADE = [*system_objects("10.244.0.2"), *injector_objects(ADDRESS), injector_pod()]


class FakeApi:
    """Objects by key, as `ApiClient` reads and writes them."""

    def __init__(self, *objects: Manifest) -> None:
        self.objects = {tuple(key_of(one)): one for one in objects}

    @property
    def client(self) -> ApiClient:
        return cast("ApiClient", self)

    async def get(self, kind: str, name: str, namespace: str = "") -> Manifest:
        try:
            return self.objects[kind, namespace, name]
        except KeyError:
            raise NotFound(404, "NotFound", name) from None

    async def list(self, kind: str) -> ObjectList:
        return ObjectList([one for key, one in self.objects.items() if key[0] == kind], "1")

    async def create(self, manifest: Manifest) -> Manifest:
        return self.objects.setdefault(tuple(key_of(manifest)), manifest)

    async def server_side_apply(self, manifest: Manifest, *, manager: str, force: bool) -> Manifest:
        assert (manager, force) == (foreign.MANAGER, True)
        self.objects[tuple(key_of(manifest))] = manifest
        return manifest

    async def delete(self, kind: str, name: str, namespace: str, *, grace_period: int | None) -> None:
        assert grace_period == (0 if kind == "Pod" else None)
        if self.objects.pop((kind, namespace, name), None) is None:
            raise NotFound(404, "NotFound", name)


def node(name: str, runtime: str) -> Manifest:
    info = {"nodeInfo": {"containerRuntimeVersion": runtime}}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": info}


def service(name: str, namespace: str, address: str) -> Manifest:
    metadata: Manifest = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"clusterIP": address}}


def pod(name: str, node_name: str) -> Manifest:
    metadata: Manifest = {"name": name, "namespace": "shop"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"nodeName": node_name}}


@pytest.mark.parametrize(
    ("server", "address"),
    [
        ("https://10.0.0.1:6443", ("10.0.0.1", 6443)),
        ("https://api.example", ("api.example", 443)),
        ("https://[fd00::1]:8443", ("fd00::1", 8443)),
    ],
)
def test_a_relay_leads_there_and_the_certificate_stays_the_servers(server: str, address: tuple[str, int]):
    config = Kubeconfig(server, "CA", "token")
    assert foreign.address_of(config) == address
    relayed = foreign.relayed(config)
    assert (relayed.server, relayed.tls_server_name) == ("https://127.0.0.1:6443", address[0])
    named = foreign.relayed(Kubeconfig(server, "CA", "token", tls_server_name="other"))
    assert named.tls_server_name == "other"


async def test_what_the_cluster_has_is_left_alone() -> None:
    theirs = service("kube-dns", "kube-system", "10.96.0.10")
    api = FakeApi(service("kubernetes", "default", "10.96.0.1"), theirs)
    for _ in range(2):
        await foreign.prepare(api.client, ["node"], MADE)
    assert await api.get("Service", "kube-dns", "kube-system") is theirs
    assert ("Namespace", "", "meshproxy-system") in api.objects
    assert ("EndpointSlice", "meshproxy-system", "control-plane") in api.objects


async def test_an_api_server_that_does_not_suit_is_refused() -> None:
    elsewhere = FakeApi(service("kubernetes", "default", "172.20.0.1"))
    with pytest.raises(ForeignApiError, match=r"172.20.0.1.*--service-cluster-ip-range=10.96.0.0/16"):
        await foreign.prepare(elsewhere.client, ["node"], MADE)
    taken = FakeApi(node("node", "containerd://2.0"))
    with pytest.raises(ForeignApiError, match="Node node is no lab's"):
        await foreign.prepare(taken.client, ["node"], MADE)
    await foreign.prepare(FakeApi(node("node", "lab://0.1.0")).client, ["node"], MADE)


async def test_only_what_the_lab_made_is_taken_away() -> None:
    api = FakeApi(node("one", "lab://0.1.0"), node("two", ""), node("three", "containerd://2.0"))
    kept = [pod("theirs", "three"), pod("unbound", ""), service("web", "shop", "10.96.0.9")]
    for each in (*kept, pod("ours", "one"), *MADE):
        await api.create(each)
    for _ in range(2):
        await foreign.remove(api.client, ["one", "two", "three", "four"], MADE)
    names = {key[2] for key in api.objects}
    assert names == {"three", "theirs", "unbound", "web", "kube-dns"}


def test_control_plane_and_injector_are_told(tmp_path: Path):
    paths = LabPaths(tmp_path)
    command = control_plane_command(paths, tmp_path, paths.relayed_kubeconfig, LabOptions(), LabPlan())
    assert command[command.index("--kubeconfig") + 1] == str(paths.relayed_kubeconfig)
    assert command[command.index("--injector-name") + 1] == "localhost"
    assert "--rest-fd" not in command
    with socket.create_server(("127.0.0.1", 0)) as webhook:
        access = ForeignAccess(paths.relayed_kubeconfig, webhook)
        network = PodNetwork("injector", ADDRESS, tmp_path / "netns")
        command = InjectorHost(tmp_path, network, paths.kubeconfig, ADDRESS, access).command()
        assert command[command.index("--listen-fd") + 1] == str(webhook.fileno())
        url = f"https://localhost:{webhook.getsockname()[1]}"
        assert command[command.index("--webhook-url") + 1] == url
    assert command[command.index("--kubeconfig") + 1] == str(paths.relayed_kubeconfig)
