"""What a ServiceEntry is told, and who is looked at again when something changes."""

from control_plane.discovery.model import EVERYONE
from control_plane.entry_status import entry_with_status
from control_plane.index import Index
from control_plane.policy_status import policy_with_status
from control_plane.resources.manifest import Manifest, ObjectKey, section
from control_plane.resources.registry import parse
from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.translate.test_service_entry import HTTP, TLS, entry, policy

API, OTHER = ObjectKey("ServiceEntry", "shop", "api"), ObjectKey("ServiceEntry", "shop", "other")


def _now() -> float:
    return 0.0


def _told(index: Index, manifest: Manifest) -> dict[str, tuple[str, str]]:
    updated = entry_with_status(manifest, index.registry, _now)
    assert updated is not None
    assert entry_with_status(updated, index.registry, _now) is None, "said once is enough"
    listed = section(updated, "status")["conditions"]
    assert isinstance(listed, list)
    return {one["type"]: (one["status"], one["message"]) for one in listed}


def test_an_entry_alone_is_accepted() -> None:
    index = Index()
    change = index.apply(entry())
    assert change.affected == EVERYONE
    assert change.routes == {API}
    assert _told(index, entry()) == {"Accepted": ("True", "every host and address of the entry is its own")}


def test_the_younger_of_two_loses_what_both_ask_for() -> None:
    index = Index()
    index.apply(entry())
    younger = entry("other", build.LATE, hosts=["api.example.com"], ports=[TLS, HTTP])
    assert index.apply(younger).routes == {API, OTHER}
    told = _told(index, younger)
    assert told["Accepted"][0] == "True"
    text = "host api.example.com port 443: held by ServiceEntry shop/api"
    assert told["Conflicted"] == ("True", text)
    all_lost = entry("other", build.LATE, hosts=["api.example.com"], ports=[TLS])
    index.apply(all_lost)
    told = _told(index, all_lost)
    assert told["Accepted"] == ("False", f"nothing of the entry holds: {text}")
    assert index.delete("ServiceEntry", "shop", "api").routes == {OTHER}
    assert _told(index, all_lost)["Accepted"][0] == "True"


def test_addresses_of_services_and_of_older_entries_are_taken() -> None:
    index = Index()
    index.apply(build.service("catalog", vip="10.96.0.7"))
    addresses = ["10.96.0.7", "240.0.0.1"]
    index.apply(entry(addresses=addresses))
    assert _told(index, entry(addresses=addresses))["Conflicted"] == (
        "True",
        "address 10.96.0.7: held by a Service",
    )
    many = [f"240.0.0.{number}" for number in range(1, 11)]
    index.apply(entry(addresses=many))
    younger = entry("other", build.LATE, addresses=many)
    index.apply(younger)
    assert _told(index, younger)["Conflicted"][1].endswith("; and 2 more")


def test_another_version_waits_for_its_turn() -> None:
    index = Index()
    index.apply(entry())
    assert entry_with_status(entry(ports=[HTTP]), index.registry, _now) is None
    assert index.delete("ServiceEntry", "shop", "ghost").routes == frozenset()
    assert index.apply(entry()).routes == {API}
    assert not index.apply(entry()).affected


def _policy_told(index: Index, manifest: Manifest) -> tuple[str, str]:
    index.apply(manifest)
    updated = policy_with_status(manifest, parse(manifest), index.registry, _now)  # type: ignore[arg-type]
    assert updated is not None
    listed = section(updated, "status")["ancestors"]
    assert isinstance(listed, list)
    told = listed[0]["conditions"][0]
    return told["reason"], told["message"]


def test_a_policy_is_told_what_an_entry_cannot_do() -> None:
    index = Index()
    assert _policy_told(index, policy(retry={}))[0] == "TargetNotFound"
    policies = index.apply(entry(ports=[HTTP])).routes
    assert ObjectKey("TrafficPolicy", "shop", "p") in policies
    assert _policy_told(index, policy(retry={}))[0] == "Accepted"
    assert _policy_told(index, policy("FaultPolicy", abort={"httpStatus": 500}))[0] == "Accepted"
    assert "has no such port; it has http" in _policy_told(index, policy(section="x", retry={}))[1]
    limit = policy("RateLimitPolicy", total={"requests": 1})
    assert "limits are kept where requests arrive" in _policy_told(index, limit)[1]
    subsets = policy(subsets=[{"name": "a", "labels": {"a": "b"}}])
    assert "have no labels" in _policy_told(index, subsets)[1]
    index.apply(entry())
    assert "spec.retry: ServiceEntry shop/api has no requests" in _policy_told(index, policy(retry={}))[1]
    index.apply(entry(resolution="NONE"))
    reason, text = _policy_told(index, policy(loadBalancer={}, circuitBreaker={}))
    assert (reason, text) == (
        "Invalid",
        "spec.loadBalancer, spec.circuitBreaker: ServiceEntry shop/api has resolution NONE, and with it no "
        "endpoints",
    )
