"""Healthy set-ups, odd ones among them: nobody is accused."""

from dataclasses import replace

import pytest

from meshctl.diagnose.facts import Facts, PodFacts, PodInside, Resolution, SidecarFacts, Unseen
from meshctl.diagnose.finding import Layer, State
from meshctl.diagnose.walk import cause, walk
from meshproxy.interception.rules import TableRules
from tests.unit.meshctl.diagnose.test_broken import ROUTED, asked, catalog, crashed, inside, only, unready
from tests.unit.meshctl.diagnose.world import (
    CATALOG_1,
    CATALOG_2,
    PLAIN_WEB,
    VIP,
    WEB,
    backend,
    cluster_page,
    condition,
    endpoint,
    facts,
    fault_policy,
    pod,
    route,
    running,
    seen,
    service,
    sidecar,
    slice_of,
    with_cluster,
)

BLIND = Unseen("the pods run on no lab of this machine")


def blind(which: PodFacts) -> PodFacts:
    return replace(which, inside=BLIND, sidecar=BLIND if which.sidecar else None)


def with_dns_rules() -> PodFacts:
    """As an init container that captures DNS leaves it."""
    assert isinstance(WEB.inside, PodInside)
    nat = WEB.inside.rules["nat"]
    query = "-d 10.96.0.10/32 -p tcp -m tcp --dport 53 -j REDIRECT --to-ports 15053"
    chains = {
        **nat.chains,
        "MESHPROXY_OUTPUT": (*nat.chains["MESHPROXY_OUTPUT"], query),
        "MESHPROXY_DNS": ("-m owner --uid-owner 1337 -j RETURN",),
    }
    udp = ("OUTPUT", "-p udp -m udp --dport 53 -j MESHPROXY_DNS")
    return inside(WEB, rules={"nat": TableRules(chains, (*nat.jumps, udp))})


PERMISSIVE = asked(CATALOG_1, sidecar(strict=False))
PLAIN_CATALOG = seen(pod("catalog-1", "10.244.0.7", meshed=False))
OPEN_PORT = seen(pod("catalog-1", "10.244.0.7", flags=["--exclude-inbound-ports=8080"]))
FEW_PORTS = seen(pod("catalog-1", "10.244.0.7", flags=["--include-inbound-ports=9999"]))
RANGES = ["--include-outbound-ip-ranges=10.0.0.0/8", "--exclude-outbound-ip-ranges=10.99.0.0/16"]
HEADLESS = service(clusterIP="None")
BY_NUMBER = service(port={"port": 80, "targetPort": 8080})
BY_NAME = service(port={"targetPort": "http"})
SPLIT = route({"backendRefs": [{"name": "catalog", "port": 8080}]})
REDIRECT = route({"filters": [{"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}]})
HELD = {
    "parents": [
        {
            "parentRef": {"group": "", "kind": "Service", "name": "catalog"},
            "controllerName": "meshproxy.io/mesh",
            "conditions": [condition("Accepted", "True"), condition("ResolvedRefs", "True")],
        }
    ]
}
ALIAS = service(type="ExternalName", externalName="db.example.com", clusterIP="", selector={})
INNER_ALIAS = service(
    type="ExternalName", externalName="catalog.shop.svc.cluster.local", clusterIP="", selector={}
)
BY_HAND = service(selector={})
UDP = service(port={"protocol": "UDP"})

GATEWAY = seen(
    pod(
        "web-1",
        "10.244.0.5",
        spec={"initContainers": [], "containers": [{"name": "meshproxy", "image": "none"}]},
        status={"initContainerStatuses": [], "containerStatuses": [running("meshproxy")]},
    ),
    ports=[("0.0.0.0", 80)],
)

HEALTHY: dict[str, Facts] = {
    "a mesh": facts(),
    "without a sidecar on either side": facts(
        client=PLAIN_WEB, service_reached="", **only(PLAIN_CATALOG), reached={"10.244.0.7:8080": ""}
    ),
    "only the client has a sidecar": facts(**only(PLAIN_CATALOG)),
    "only the server has one, and is PERMISSIVE": facts(
        client=PLAIN_WEB, service_reached="", **only(PERMISSIVE)
    ),
    "plaintext to a port that the server excludes": facts(
        client=PLAIN_WEB, service_reached="", **only(OPEN_PORT)
    ),
    "plaintext to a port that the server does not include": facts(
        client=PLAIN_WEB, service_reached="", **only(FEW_PORTS)
    ),
    "a client that excludes the port, to a PERMISSIVE server": facts(
        client=seen(pod("web-1", "10.244.0.5", flags=["--exclude-outbound-ports=8080"]), ports=()),
        **only(PERMISSIVE),
    ),
    "ranges of which the Service is in the right ones": facts(
        client=seen(pod("web-1", "10.244.0.5", flags=RANGES), ports=())
    ),
    "one of two pods crashes": facts(backends=(backend(CATALOG_2, crashed()),)),
    "one of two pods is not ready": facts(backends=(backend(CATALOG_2, unready()),)),
    "a pod that is not ready listens nowhere yet": facts(
        backends=(backend(CATALOG_2, inside(unready(), listening=())),)
    ),
    "a rollout: the old pod leaves": facts(
        backends=(
            backend(CATALOG_2, catalog(ready=False, metadata={"deletionTimestamp": "2027-01-15T08:00:00Z"})),
        )
    ),
    "it listens on IPv6's any": facts(**only(seen(pod("catalog-1", "10.244.0.7"), ports=[("::", 8080)]))),
    "it listens on the pod's own address": facts(
        **only(seen(pod("catalog-1", "10.244.0.7"), ports=[("10.244.0.7", 8080), ("127.0.0.1", 9)]))
    ),
    "a port that leads to another": facts(
        "web -> catalog:80",
        port=80,
        service=BY_NUMBER,
        client=asked(
            WEB,
            sidecar(cluster_page(endpoint(), name="outbound|80||catalog.shop.svc.cluster.local")),
        ),
        backends=(replace(backend(CATALOG_1, of=BY_NUMBER), port=80),),
    ),
    "a target port by name": facts(service=BY_NAME, **only(CATALOG_1, of=BY_NAME)),
    "headless": facts(
        service=HEADLESS,
        **only(CATALOG_1, of=HEADLESS),
        resolution=Resolution(("10.244.0.7", "10.244.0.8")),
    ),
    "another name for a host outside": facts(
        service=ALIAS, backends=(), resolution=Resolution(("192.0.2.9",))
    ),
    "another name for a Service": facts(
        service=INNER_ALIAS, backends=(), resolution=Resolution((VIP,)), client=WEB
    ),
    "endpoints by hand": facts(
        service=BY_HAND, backends=(backend(of=BY_HAND, slices=[slice_of(CATALOG_1.pod)]),)
    ),
    "a pod that was started again": facts(
        **only(catalog(status={"containerStatuses": [{**running("app"), "restartCount": 7}]}))
    ),
    "a Job that seeded and ended": facts(
        cluster=with_cluster(pods=(WEB.pod, pod("seed-1", "10.244.0.30", status={"phase": "Succeeded"})))
    ),
    "DNS is captured too": facts(client=with_dns_rules()),
    "without DNS rules, by other means": facts(
        client=replace(
            seen(pod("web-1", "10.244.0.5", spec={"initContainers": []}), ports=()), sidecar=None, sync=None
        ),
        service_reached="",
        **only(PERMISSIVE),
    ),
    "a gateway, which knows what its routes name": facts(
        client=replace(GATEWAY, sidecar=sidecar(cluster_page(name="outbound|80||other")))
    ),
    "the control plane is away, and all is known": facts(
        client=replace(
            asked(WEB, sidecar(info={"xds": {"connected": False, "last_error": "refused"}})), sync=None
        )
    ),
    "a renewal failed once, and there is time": facts(
        client=asked(WEB, sidecar(certs={"last_error": "no answer"}))
    ),
    "one of two is ejected": facts(
        client=asked(
            WEB, sidecar(cluster_page(endpoint(is_ejected=True), endpoint("10.244.0.8:8080"), overflows=3))
        )
    ),
    "a route that holds": facts(
        routes=(route({"backendRefs": [{"name": "catalog", "port": 8080}]}, status=HELD),),
        client=asked(
            WEB,
            sidecar(cluster_page(endpoint()), cluster_page(endpoint(), name="v2"), config=ROUTED),
        ),
    ),
    "a route that nobody has judged yet": facts(routes=(SPLIT,)),
    "a route that redirects": facts(routes=(REDIRECT,), backends=()),
    "a delay on purpose": facts(fault_policies=(fault_policy(delay={"fixed": "10ms"}),)),
    "errors on purpose, for some": facts(
        fault_policies=(
            fault_policy(abort={"httpStatus": 503}, headers=[{"name": "x-test", "value": "1"}]),
            fault_policy(abort={"httpStatus": 503, "percent": 0.0}),
        )
    ),
    "a port of UDP": facts(service=UDP, **only(CATALOG_1, of=UDP, slices=[slice_of(CATALOG_1.pod)])),
    "an app that has not told its certificate's name": facts(
        backends=(backend(asked(CATALOG_1, sidecar(certificate={"spiffe_id": ""}))),)
    ),
    "nobody can look into pods": facts(
        client=blind(WEB),
        backends=(backend(blind(CATALOG_1), blind(CATALOG_2)),),
        resolution=BLIND,
        reached=BLIND,
    ),
    "nobody can look into pods, and the client has no sidecar": facts(
        client=blind(PLAIN_WEB),
        backends=(backend(blind(CATALOG_1)),),
        resolution=BLIND,
        reached=BLIND,
        service_reached=BLIND,
    ),
    "the control plane does not tell": facts(
        client=replace(WEB, sync=Unseen("403")), backends=(backend(replace(CATALOG_1, sync=Unseen("403"))),)
    ),
    "a sidecar that shows no listener yet": facts(
        client=PLAIN_WEB,
        service_reached="",
        **only(asked(CATALOG_1, replace(sidecar(), config={}))),
    ),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_is_not_accused(name: str) -> None:
    findings = walk(HEALTHY[name])
    assert cause(findings) is None
    assert [one.layer for one in findings] == list(Layer)


def test_what_could_not_be_looked_at_is_said() -> None:
    findings = {one.layer: one for one in walk(HEALTHY["nobody can look into pods"])}
    unseen = {layer for layer, one in findings.items() if one.state is State.UNSEEN}
    assert unseen == {
        Layer.LISTENING,
        Layer.DNS,
        Layer.ADDRESS,
        Layer.INTERCEPTION,
        Layer.SIDECAR,
        Layer.CONFIGURATION,
        Layer.CERTIFICATE,
        Layer.EJECTION,
    }
    assert findings[Layer.DNS].what == BLIND.why


def test_what_is_odd_is_told_without_accusing() -> None:
    def notes(name: str, layer: Layer) -> str:
        return " ".join(next(one.evidence for one in walk(HEALTHY[name]) if one.layer is layer))

    assert "does not keep running" in notes("one of two pods crashes", Layer.POD)
    assert "1 of 2 pods of shop/catalog get no traffic" in notes(
        "one of two pods is not ready", Layer.ENDPOINTS
    )
    assert "works with what it has" in notes(
        "the control plane is away, and all is known", Layer.CONFIGURATION
    )
    assert "not renewed" in notes("a renewal failed once, and there is time", Layer.CERTIFICATE)
    ejected = notes("one of two is ejected", Layer.EJECTION)
    assert "10.244.0.7:8080: ejected" in ejected
    assert "limits" in ejected
    assert "was not seen" in notes("a sidecar that shows no listener yet", Layer.POLICY)
    assert isinstance(WEB.sidecar, SidecarFacts)
