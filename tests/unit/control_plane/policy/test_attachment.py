"""Which policy holds: the oldest, by section, whatever the order of arrival; and what its status says."""

import itertools

import pytest

from control_plane.discovery.model import ObjectName, PortProtocol, Service, ServicePort
from control_plane.policy import effective
from control_plane.policy.attachment import Policy, PolicyResource, PolicySet, Target, policy_of
from control_plane.policy.conditions import TargetRoute, ancestors, condition
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import parse

CATALOG = ObjectName("shop", "catalog")
SPLIT = ObjectName("shop", "split")
HTTP = ServicePort(8080, "http", PortProtocol.HTTP, 8080)
SERVICE = Service(CATALOG, "10.96.0.7", (HTTP, ServicePort(5432, "db", PortProtocol.TCP, 5432)), (), "")


def ref(kind: str = "Service", name: str = "catalog", section: str = "") -> Manifest:
    group = "" if kind == "Service" else "gateway.networking.k8s.io"
    return {"group": group, "kind": kind, "name": name, **({"sectionName": section} if section else {})}


def policy(name: str, *refs: Manifest, kind: str = "TrafficPolicy", day: int = 1, **spec: object) -> Policy:
    created = f"2026-01-{day:02}T00:00:00Z"
    meta = {"name": name, "namespace": "shop", "creationTimestamp": created, "generation": 3}
    whole = {"apiVersion": "meshproxy.io/v1alpha1", "kind": kind, "metadata": meta}
    resource = parse({**whole, "spec": {"targetRefs": list(refs) or [ref()], **spec}})
    assert isinstance(resource, PolicyResource)
    return policy_of(resource)


def holding(*policies: Policy) -> PolicySet:
    built = PolicySet()
    for one in policies:
        assert built.put(one)
    return built


class Known:
    def service(self, key: ObjectName) -> Service | None:
        return SERVICE if key == CATALOG else None

    def target_route(self, kind: str, key: ObjectName) -> TargetRoute | None:
        assert kind == "HTTPRoute"
        return {
            SPLIT: TargetRoute(("first", ""), at_gateway=False),
            ObjectName("shop", "ingress"): TargetRoute((), at_gateway=True),
        }.get(key)


def test_the_oldest_holds_whatever_the_order() -> None:
    three = [policy("c", day=1), policy("b", day=2), policy("a", day=2)]
    for order in itertools.permutations(three):
        held = holding(*order)
        assert held.holding("TrafficPolicy", Target("Service", CATALOG)) is three[0]
        assert held.remove(three[0].name)
        assert held.holding("TrafficPolicy", Target("Service", CATALOG)) is three[2]


def test_a_set_forgets_and_replaces() -> None:
    old = policy("a", ref(section="http"))
    held = holding(old)
    assert not held.put(policy("a", ref(section="http")))
    assert held.referring_to("Service", CATALOG) == {("TrafficPolicy", ObjectName("shop", "a"))}
    assert held.put(policy("a", ref("HTTPRoute", "split")))
    assert held.referring_to("Service", CATALOG) == frozenset()
    assert held.holding("TrafficPolicy", Target("Service", CATALOG, "http")) is None
    assert held.remove(old.name)
    assert not held.remove(old.name)
    assert held.get(old.name) is None


def test_blocks_of_a_port_come_before_those_of_its_service() -> None:
    general = policy("whole", timeouts={"request": "1s"}, retry={"attempts": 5})
    special = policy("port", ref(section="http"), timeouts={"perTry": "2s"}, limits={"maxRequests": 1})
    found = effective.traffic(holding(general, special), CATALOG, HTTP)
    assert found is not None
    assert found.timeouts is not None
    assert (found.timeouts.request, found.timeouts.per_try) == (None, "2s")
    assert found.retry is not None
    assert found.retry.attempts == 5
    other = effective.traffic(holding(general, special), CATALOG, SERVICE.ports[1])
    assert other is not None
    assert other.limits is None
    assert effective.traffic(PolicySet(), CATALOG, HTTP) is None


def test_of_faults_and_limits_the_most_specific_holds_as_a_whole() -> None:
    route = ref("HTTPRoute", "split")
    slow = policy("slow", route, kind="FaultPolicy", delay={"fixed": "1s"})
    broken = policy(
        "broken", {**route, "sectionName": "first"}, kind="FaultPolicy", abort={"httpStatus": 500}
    )
    held = holding(slow, broken)
    first = effective.fault(effective.for_rule(held, effective.FAULT, SPLIT, "first"))
    rest = effective.fault(effective.for_rule(held, effective.FAULT, SPLIT, ""))
    assert (first, rest) == (broken.spec, slow.spec)
    assert effective.fault(()) is None
    limit = policy("limit", kind="RateLimitPolicy", total={"requests": 1})
    found = effective.for_port(holding(limit), effective.RATE_LIMIT, CATALOG, HTTP)
    assert effective.rate_limit(found) == limit.spec
    assert effective.rate_limit(()) is None
    timed = policy("timed", route, timeouts={"request": "1s"}, subset="v1")
    rule = effective.rule_traffic(holding(timed), SPLIT, "first")
    assert rule is not None
    assert rule.subset == "v1"


@pytest.mark.parametrize(
    ("one", "accepted", "reason", "message"),
    [
        (policy("a"), True, "Accepted", "spec.targetRefs[0]: holds for Service shop/catalog"),
        (policy("a", ref(section="http"), retry={}), True, "Accepted", "section http"),
        (
            policy("a", ref(name="gone")),
            False,
            "TargetNotFound",
            "spec.targetRefs[0].name: Service shop/gone",
        ),
        (policy("a", ref(section="x")), False, "TargetNotFound", "no such port; it has http, db"),
        (policy("a", ref(section="db"), retry={}), False, "Invalid", "spec.retry: port 5432"),
        (
            policy(
                "a",
                ref(section="db"),
                healthCheck={"http": {"path": "/"}},
                sessionAffinity={"cookie": {"name": "a"}},
            ),
            False,
            "Invalid",
            "spec.sessionAffinity, spec.healthCheck.http: port",
        ),
        (
            policy("a", ref(section="db"), h2UpgradePolicy="Upgrade"),
            False,
            "Invalid",
            "spec.h2UpgradePolicy: port 5432",
        ),
        (policy("a", ref(section="db"), limits={"maxConnections": 1}), True, "Accepted", "section db"),
        (
            policy("a", ref(section="db"), kind="FaultPolicy", abort={"httpStatus": 500}),
            False,
            "Invalid",
            "spec: port 5432",
        ),
        (policy("a", ref("HTTPRoute", "gone")), False, "TargetNotFound", "HTTPRoute shop/gone does not"),
        (policy("a", ref("HTTPRoute", "split", "x")), False, "TargetNotFound", "no such rule; it has first"),
        (policy("a", ref("HTTPRoute", "split", "first")), True, "Accepted", "HTTPRoute shop/split"),
        (
            policy("a", ref("HTTPRoute", "split"), kind="RateLimitPolicy", total={"requests": 1}),
            False,
            "Invalid",
            "target the Service",
        ),
        (
            policy("a", ref("HTTPRoute", "ingress"), kind="RateLimitPolicy", total={"requests": 1}),
            True,
            "Accepted",
            "HTTPRoute shop/ingress",
        ),
    ],
)
def test_conditions(one: Policy, accepted: bool, reason: str, message: str) -> None:
    found = condition(0, one, holding(one), Known())
    assert (found.accepted, found.reason) == (accepted, reason)
    assert message in found.message


def test_the_younger_is_conflicted_only_where_both_are() -> None:
    old, young = policy("old", day=1), policy("young", ref(), ref(section="http"), day=2)
    held = holding(young, old)
    assert condition(0, old, held, Known()).accepted
    assert condition(0, young, held, Known()).reason == "Conflicted"
    assert "TrafficPolicy shop/old is older" in condition(0, young, held, Known()).message
    assert condition(1, young, held, Known()).accepted


def test_ancestors_keep_their_time_and_those_of_others() -> None:
    one = policy("a")
    held = holding(one)
    foreign: Manifest = {"ancestorRef": ref(), "controllerName": "else/where", "conditions": []}

    def judge(before: list[Manifest], now: str) -> list[Manifest]:
        refs = one.spec.target_refs
        return ancestors(one, refs, held, Known(), controller="me/x", before=before, now=lambda: now)

    first = judge([foreign], "T1")
    assert first[0] == foreign
    assert first[1]["ancestorRef"] == ref()
    assert first[1]["conditions"] == [
        {
            "type": "Accepted",
            "status": "True",
            "observedGeneration": 3,
            "lastTransitionTime": "T1",
            "reason": "Accepted",
            "message": "spec.targetRefs[0]: holds for Service shop/catalog",
        }
    ]
    assert judge(first, "T2") == first
    held.put(policy("older", day=1))
    held.put(policy("a", day=2))
    changed = ancestors(
        policy("a", day=2),
        one.spec.target_refs,
        held,
        Known(),
        controller="me/x",
        before=first,
        now=lambda: "T3",
    )
    conditions = changed[1]["conditions"]
    assert isinstance(conditions, list)
    assert conditions[0]["lastTransitionTime"] == "T3"
