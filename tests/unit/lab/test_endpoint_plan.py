"""The EndpointSlices of a Service."""

from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.manifest import Manifest
from control_plane.resources.pod import Pod
from control_plane.resources.service import Service
from lab.endpoint_plan import endpoint_slices
from tests.unit.lab.builders import pod_manifest, service

HTTP: Manifest = {"name": "http", "port": 80, "targetPort": "web", "appProtocol": "http"}


def running(name: str, ip: str, *, ready: bool = True, port: int = 8080, **status: object) -> Pod:
    ports = [{"name": "web", "containerPort": port}]
    manifest = pod_manifest(name, containers=[{"name": "app", "ports": ports}], nodeName="node")
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    manifest["status"] = {"phase": "Running", "podIP": ip, "conditions": conditions, **status}
    return Pod.parse(manifest)


def slices(wanted: Service, *pods: Pod) -> list[EndpointSlice]:
    return [EndpointSlice.parse(manifest) for manifest in endpoint_slices(wanted, pods)]


def addresses(entry: EndpointSlice) -> list[str]:
    return [endpoint.addresses[0] for endpoint in entry.endpoints]


def test_a_slice_holds_the_selected_pods_their_readiness_and_who_they_are() -> None:
    [made] = slices(service(HTTP), running("b", "10.244.0.8", ready=False), running("a", "10.244.0.7"))
    assert made.service_name == "web"
    assert [(p.name, p.port, p.app_protocol) for p in made.ports] == [("http", 8080, "http")]
    assert addresses(made) == ["10.244.0.7", "10.244.0.8"]
    assert [endpoint.is_ready for endpoint in made.endpoints] == [True, False]
    reference = made.endpoints[0].target_ref
    assert reference is not None
    assert (reference.kind, reference.name, reference.uid) == ("Pod", "a", "uid-a")


def test_pods_that_ended_or_have_no_address_or_other_labels_are_left_out() -> None:
    ended = running("ended", "10.244.0.8", phase="Succeeded")
    [made] = slices(service(HTTP, selector={"app": "web"}), ended, running("new", ""))
    assert made.endpoints == ()
    [other] = slices(service(HTTP, selector={"app": "db"}), running("a", "10.244.0.7"))
    assert other.endpoints == ()


def test_pods_of_other_namespaces_are_left_out() -> None:
    manifest = endpoint_slices(service(HTTP), [running("a", "10.244.0.7")])[0]
    assert "shop" in str(manifest["metadata"])
    elsewhere = running("a", "10.244.0.7")
    moved = elsewhere.model_copy(
        update={"metadata": elsewhere.metadata.model_copy(update={"namespace": "x"})}
    )
    assert slices(service(HTTP), moved)[0].endpoints == ()


def test_a_service_without_a_selector_has_none_made() -> None:
    assert slices(service(HTTP, selector={}), running("a", "10.244.0.7")) == []


def test_a_named_port_that_differs_between_pods_makes_one_slice_for_each_number() -> None:
    made = slices(service(HTTP), running("a", "10.244.0.7"), running("b", "10.244.0.8", port=9090))
    assert [(entry.metadata.name, entry.ports[0].port, addresses(entry)) for entry in made] == [
        ("web", 8080, ["10.244.0.7"]),
        ("web-1", 9090, ["10.244.0.8"]),
    ]


def test_a_port_name_the_pod_does_not_have_is_left_out() -> None:
    other: Manifest = {"name": "admin", "port": 81, "targetPort": "admin"}
    [made] = slices(service(HTTP, other), running("a", "10.244.0.7"))
    assert [port.name for port in made.ports] == ["http"]


def test_ports_of_native_sidecars_may_be_named_too() -> None:
    manifest = pod_manifest(
        initContainers=[
            {
                "name": "proxy",
                "restartPolicy": "Always",
                "ports": [{"name": "web", "containerPort": 15090}],
            },
            {"name": "init", "ports": [{"name": "web", "containerPort": 1}]},
        ]
    )
    manifest["status"] = {"podIP": "10.244.0.7", "phase": "Running"}
    [made] = slices(service(HTTP), Pod.parse(manifest))
    assert made.ports[0].port == 15090


def test_a_service_without_pods_has_an_empty_slice_with_its_numbered_ports() -> None:
    [made] = slices(service({"name": "http", "port": 80, "targetPort": 8080}))
    assert ([port.port for port in made.ports], made.endpoints) == ([8080], ())


def test_not_ready_addresses_are_published_when_the_service_asks_for_it() -> None:
    wanted = service(HTTP, publishNotReadyAddresses=True)
    [made] = slices(wanted, running("a", "10.244.0.7", ready=False))
    assert made.endpoints[0].is_ready
    assert made.endpoints[0].conditions.serving is False
