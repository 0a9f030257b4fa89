"""The EndpointSlices of a Service: what is written when its Pods change."""

from collections.abc import Sequence

from control_plane.resources.endpoint_slice import EndpointSlice
from control_plane.resources.manifest import Manifest, metadata, with_metadata
from control_plane.resources.pod import Pod
from control_plane.resources.service import Service
from lab.controllers.action import Action, Create, Delete, Update
from lab.controllers.endpoint_slices import is_ours, plan_slices
from tests.unit.lab.builders import pod_manifest, service

HTTP: Manifest = {"name": "http", "port": 80, "targetPort": "web", "appProtocol": "http"}

NUMBERED: Manifest = {"name": "http", "port": 80, "targetPort": 8080}


def running(name: str, ip: str, *, ready: bool = True, port: int = 8080, **status: object) -> Pod:
    ports = [{"name": "web", "containerPort": port}]
    manifest = pod_manifest(name, containers=[{"name": "app", "ports": ports}], nodeName="node")
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    manifest["status"] = {"phase": "Running", "podIP": ip, "conditions": conditions, **status}
    return Pod.parse(manifest)


def plan(wanted: Service, pods: Sequence[Pod], slices: Sequence[Manifest] = ()) -> tuple[Action, ...]:
    manifest = {"apiVersion": "v1", "kind": "Service", **wanted.to_manifest()}
    return plan_slices(wanted, manifest, pods, slices, {"node": "a"})


def made(actions: Sequence[Action]) -> list[Manifest]:
    """The slices that are created, as the server names them."""
    found = [action.manifest for action in actions if isinstance(action, Create)]
    return [with_metadata(one, name=f"web-{n}", uid=f"uid-{n}") for n, one in enumerate(found)]


def slices(wanted: Service, *pods: Pod) -> list[EndpointSlice]:
    return [EndpointSlice.parse(manifest) for manifest in made(plan(wanted, pods))]


def addresses(entry: EndpointSlice) -> list[str]:
    return [endpoint.addresses[0] for endpoint in entry.endpoints]


def test_a_slice_holds_the_selected_pods_their_readiness_and_who_they_are() -> None:
    [entry] = slices(service(HTTP), running("b", "10.244.0.8", ready=False), running("a", "10.244.0.7"))
    assert entry.service_name == "web"
    assert [(p.name, p.port, p.app_protocol) for p in entry.ports] == [("http", 8080, "http")]
    assert addresses(entry) == ["10.244.0.7", "10.244.0.8"]
    assert [endpoint.is_ready for endpoint in entry.endpoints] == [True, False]
    assert [(endpoint.node_name, endpoint.zone) for endpoint in entry.endpoints] == [("node", "a")] * 2
    reference = entry.endpoints[0].target_ref
    assert reference is not None
    assert (reference.kind, reference.name, reference.uid) == ("Pod", "a", "uid-a")


def test_pods_that_ended_or_have_no_address_or_other_labels_are_left_out() -> None:
    ended = running("ended", "10.244.0.8", phase="Succeeded")
    [entry] = slices(service(HTTP, selector={"app": "web"}), ended, running("new", ""))
    assert entry.endpoints == ()
    [other] = slices(service(HTTP, selector={"app": "db"}), running("a", "10.244.0.7"))
    assert other.endpoints == ()


def test_a_pod_that_is_being_deleted_serves_but_is_not_ready() -> None:
    leaving = running("a", "10.244.0.7")
    meta = leaving.metadata.model_copy(update={"deletion_timestamp": "2026-01-01T00:00:00Z"})
    [entry] = slices(service(HTTP), leaving.model_copy(update={"metadata": meta}))
    conditions = entry.endpoints[0].conditions
    assert (conditions.ready, conditions.serving, conditions.terminating) == (False, True, True)
    assert entry.endpoints[0].is_leaving


def test_nobody_else_makes_slices_without_a_selector_or_for_another_name() -> None:
    assert plan(service(HTTP, selector={}), [running("a", "10.244.0.7")]) == ()
    external = service(type="ExternalName", externalName="db.example.org", clusterIP="")
    [old] = made(plan(service(HTTP), []))
    assert plan(external, [], [old]) == (Delete(("EndpointSlice", "shop", "web-0"), "uid-0"),)  # type: ignore[arg-type]


def test_a_service_that_is_being_deleted_is_left_to_the_garbage_collector() -> None:
    wanted = service(HTTP)
    meta = wanted.metadata.model_copy(update={"deletion_timestamp": "2026-01-01T00:00:00Z"})
    assert plan(wanted.model_copy(update={"metadata": meta}), [running("a", "10.244.0.7")]) == ()


def test_a_named_port_that_differs_between_pods_makes_one_slice_for_each_number() -> None:
    found = slices(service(HTTP), running("a", "10.244.0.7"), running("b", "10.244.0.8", port=9090))
    assert [(entry.ports[0].port, addresses(entry)) for entry in found] == [
        (8080, ["10.244.0.7"]),
        (9090, ["10.244.0.8"]),
    ]


def test_a_port_name_the_pod_does_not_have_is_left_out() -> None:
    other: Manifest = {"name": "admin", "port": 81, "targetPort": "admin"}
    [entry] = slices(service(HTTP, other), running("a", "10.244.0.7"))
    assert [port.name for port in entry.ports] == ["http"]


def test_ports_of_native_sidecars_may_be_named_too() -> None:
    proxy = {"name": "proxy", "restartPolicy": "Always", "ports": [{"name": "web", "containerPort": 15090}]}
    init = {"name": "init", "ports": [{"name": "web", "containerPort": 1}]}
    manifest = pod_manifest(initContainers=[proxy, init])
    manifest["status"] = {"podIP": "10.244.0.7", "phase": "Running"}
    [entry] = slices(service(HTTP), Pod.parse(manifest))
    assert entry.ports[0].port == 15090


def test_a_service_without_pods_has_an_empty_slice_with_its_numbered_ports() -> None:
    [entry] = slices(service({"name": "http", "port": 80, "targetPort": 8080}))
    assert ([port.port for port in entry.ports], entry.endpoints) == ([8080], ())


def test_not_ready_addresses_are_published_when_the_service_asks_for_it() -> None:
    wanted = service(HTTP, publishNotReadyAddresses=True)
    [entry] = slices(wanted, running("a", "10.244.0.7", ready=False))
    assert entry.endpoints[0].is_ready
    assert entry.endpoints[0].conditions.serving is False


def test_a_pod_with_a_name_below_its_service_has_a_hostname() -> None:
    pod = running("a", "10.244.0.7")
    named = pod.model_copy(update={"spec": pod.spec.model_copy(update={"hostname": "a", "subdomain": "web"})})
    [entry] = slices(service(HTTP, clusterIP="None"), named)
    assert entry.endpoints[0].hostname == "a"
    assert entry.metadata.labels["service.kubernetes.io/headless"] == ""


def test_a_pod_of_two_families_is_in_a_slice_of_each() -> None:
    both = running("a", "10.244.0.7", podIPs=[{"ip": "10.244.0.7"}, {"ip": "fd00::7"}])
    wanted = service(HTTP, clusterIP="10.96.0.7")
    spec = wanted.spec.model_copy(update={"ip_families": ("IPv4", "IPv6")})
    found = slices(wanted.model_copy(update={"spec": spec}), both, running("b", "10.244.0.8"))
    assert [(entry.address_type, addresses(entry)) for entry in found] == [
        ("IPv4", ["10.244.0.7", "10.244.0.8"]),
        ("IPv6", ["fd00::7"]),
    ]


def test_the_family_follows_from_the_address_where_it_is_not_said() -> None:
    wanted = service(HTTP, clusterIP="fd00:96::1")
    [entry] = slices(wanted, running("a", "fd00::7"))
    assert entry.address_type == "IPv6"


def many(count: int) -> list[Pod]:
    return [running(f"p{n:03}", f"10.244.1.{n}") for n in range(count)]


def test_endpoints_stay_in_their_slice_so_that_one_pod_changes_one_slice() -> None:
    pods = many(250)
    first = made(plan(service(HTTP), pods))
    assert [len(EndpointSlice.parse(one).endpoints) for one in first] == [100, 100, 50]
    assert plan(service(HTTP), pods, first) == ()
    changed = [
        running("p003", "10.244.1.3", ready=False) if pod.metadata.name == "p003" else pod for pod in pods
    ]
    [update] = plan(service(HTTP), changed, first)
    assert isinstance(update, Update)
    assert metadata(update.manifest)["name"] == "web-0"


def test_gaps_are_filled_and_empty_slices_go() -> None:
    pods = many(150)
    first = made(plan(service(NUMBERED), pods))
    fewer = [pod for pod in pods if pod.metadata.name != "p005"]
    fuller = [*fewer, running("new", "10.244.2.1")]
    [update] = plan(service(NUMBERED), fuller, first)
    assert isinstance(update, Update)
    assert "10.244.2.1" in str(update.manifest)
    [kept, gone] = plan(service(NUMBERED), [], first)
    assert isinstance(kept, Update)
    assert isinstance(gone, Delete)
    assert plan(service(NUMBERED), [], [{**first[0], "endpoints": []}]) == ()


def test_labels_of_the_service_are_the_slices_and_theirs_are_told_from_ours() -> None:
    [old] = made(plan(service(HTTP, clusterIP="None"), []))
    assert is_ours(old)
    assert not is_ours({"metadata": {"labels": {}}})
    [update] = plan(service(HTTP), [], [old])
    assert isinstance(update, Update)
    assert "service.kubernetes.io/headless" not in str(update.manifest)
