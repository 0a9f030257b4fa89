"""Services that declare one port of a pod differently."""

from control_plane.index import Index
from control_plane.resources.manifest import Manifest, ObjectKey, section
from control_plane.service_status import CONFLICT, service_with_status
from tests.unit.control_plane import manifest_builder as build

OLD, YOUNG = ObjectKey("Service", "shop", "old"), ObjectKey("Service", "shop", "young")


def _service(name: str, port_name: str, created: str, number: int = 8080) -> Manifest:
    port: Manifest = {"name": port_name, "port": number, "targetPort": 8080}
    return build.service(name, port, vip=f"10.96.0.{len(name)}", created=created)


def _slice(name: str, port_name: str, address: str = "10.244.0.7") -> Manifest:
    return build.endpoint_slice(name, build.endpoint(address), ports=[(port_name, 8080)])


def _told(index: Index, manifest: Manifest) -> str | None:
    """What the Service is told; None: there is nothing to write."""
    updated = service_with_status(manifest, index.registry, lambda: 0.0)
    if updated is None:
        return None
    assert service_with_status(updated, index.registry, lambda: 1.0) is None, "said once is enough"
    listed = section(updated, "status")["conditions"]
    assert isinstance(listed, list)
    return next((one["message"] for one in listed if one["type"] == CONFLICT), "")


def test_the_oldest_declaration_holds_and_the_younger_is_told() -> None:
    index = Index()
    old, young = _service("old", "http", build.EARLY), _service("young", "tcp", build.LATE, 80)
    for manifest in (old, young, _slice("old", "http")):
        assert not {OLD, YOUNG} & index.apply(manifest).routes
    assert index.apply(_slice("young", "tcp")).routes == {OLD, YOUNG}
    assert _told(index, old) is None
    text = "port 80 declares tcp, but port 8080 of its pods is http by Service shop/old, which is older"
    assert _told(index, young) == f"spec.ports: {text}"
    told = service_with_status(young, index.registry, lambda: 0.0)
    assert told is not None
    assert YOUNG in index.delete("Service", "shop", "old").routes
    assert _told(index, told) == "", "and told when it is over"


def test_who_declares_nothing_or_the_same_or_is_elsewhere_is_in_no_conflict() -> None:
    for name, address in (("any", "10.244.0.7"), ("http-2", "10.244.0.7"), ("tcp", "10.244.0.8")):
        index = Index()
        young = _service("young", name, build.LATE)
        for manifest in (_service("old", "http", build.EARLY), young, _slice("old", "http")):
            index.apply(manifest)
        index.apply(_slice("young", name, address))
        assert _told(index, young) is None


def test_a_service_that_is_gone_is_told_nothing() -> None:
    assert service_with_status(_service("old", "http", build.EARLY), Index().registry, lambda: 0.0) is None


def test_a_pod_that_leaves_takes_the_conflict_along() -> None:
    index = Index()
    young = _service("young", "tcp", build.LATE)
    for manifest in (
        _service("old", "http", build.EARLY),
        young,
        _slice("old", "http"),
        _slice("young", "tcp"),
    ):
        index.apply(manifest)
    assert _told(index, young)
    assert YOUNG in index.apply(_slice("old", "http", "10.244.0.9")).routes
    assert _told(index, young) is None
