"""Broken set-ups: each is named right, with what proves it and the command that mends it."""

from dataclasses import replace

import pytest

from meshctl.diagnose.facts import Facts, Listening, PodFacts, PodInside, Resolution, SidecarFacts
from meshctl.diagnose.finding import Layer
from meshproxy.interception.rules import EMPTY, TableRules
from tests.unit.meshctl.diagnose.world import (
    CATALOG_1,
    CATALOG_2,
    CLUSTER,
    HOST,
    PLAIN_WEB,
    VIP,
    WEB,
    backend,
    cause_of,
    cluster_page,
    condition,
    deployment,
    endpoint,
    event,
    facts,
    fault_policy,
    inbound,
    node,
    one_backend,
    pod,
    route,
    running,
    seen,
    service,
    sidecar,
    slice_of,
    sync,
    waiting,
    with_cluster,
)

REFUSED = "connection refused"
SILENT = "no answer in 2 s"


def only(broken: PodFacts, **rest: object) -> dict[str, object]:
    """The Service has this one pod."""
    return dict(one_backend(broken, **rest))


def asked(which: PodFacts, answer: SidecarFacts) -> PodFacts:
    return replace(which, sidecar=answer)


def inside(which: PodFacts, **changes: object) -> PodFacts:
    assert isinstance(which.inside, PodInside)
    return replace(which, inside=replace(which.inside, **changes))  # type: ignore[arg-type]


def catalog(**how: object) -> PodFacts:
    return seen(pod("catalog-1", "10.244.0.7", **how))  # type: ignore[arg-type]


def crashed() -> PodFacts:
    status = waiting("app", "CrashLoopBackOff", restarts=4, ended=3)
    return catalog(ready=False, status={"containerStatuses": [status]})


def without_image() -> PodFacts:
    status = waiting("app", "CreateContainerConfigError", 'configmap "settings" not found')
    return catalog(ready=False, status={"phase": "Pending", "containerStatuses": [status]})


def unready() -> PodFacts:
    return catalog(ready=False)


def cut_interception() -> PodFacts:
    assert isinstance(WEB.inside, PodInside)
    nat = WEB.inside.rules["nat"]
    chains = {**nat.chains, "MESHPROXY_OUTPUT": ("-j RETURN", *nat.chains["MESHPROXY_OUTPUT"])}
    return inside(WEB, rules={"nat": TableRules(chains, nat.jumps[:1])})


STUCK = replace(
    catalog(
        ready=False,
        status={
            "phase": "Pending",
            "initContainerStatuses": [{**running("meshproxy", ready=False), "started": False}],
            "containerStatuses": [waiting("app", "PodInitializing")],
        },
    ),
    sidecar=SidecarFacts(not_ready=("no certificate yet: token refused",)),
)
HOSTS = {"hostAliases": [{"ip": "10.9.9.9", "hostnames": ["catalog"]}]}
TYPO = service(selector={"app": "catalgo"})
BY_NAME = service(port={"targetPort": "web"})
NO_DNS = Resolution((), "Temporary failure in name resolution", ("10.96.0.10",), ("shop.svc.cluster.local",))
NO_SEARCH = Resolution((), "Name or service not known", ("192.0.2.1",), ())
CLOSED = ("-A INPUT -p tcp -m tcp --dport 15006 -j DROP",)
APP_1337 = {"securityContext": {"runAsUser": 1337}}
EXCLUDING = seen(pod("web-1", "10.244.0.5", flags=["--exclude-outbound-ports=8080"]), ports=())
ROUTED = {
    "rds": {
        "resources": {
            "8080": {
                "virtual_hosts": [
                    {
                        "domains": [f"{HOST}:8080"],
                        "routes": [
                            {"route": {"weighted_clusters": {"clusters": [{"name": "v2", "weight": 1}]}}},
                            {"route": {"weighted_clusters": {"clusters": [{"name": CLUSTER, "weight": 0}]}}},
                        ],
                    }
                ]
            }
        }
    }
}
UNRESOLVED = {
    "parents": [
        {
            "parentRef": {"group": "", "kind": "Service", "name": "catalog"},
            "controllerName": "meshproxy.io/mesh",
            "conditions": [
                condition("Accepted", "True"),
                condition("ResolvedRefs", "False", reason="BackendNotFound", message="no Service v3"),
            ],
        }
    ]
}

BROKEN: dict[str, tuple[Facts, Layer, str, str]] = {
    "no such client": (
        facts("wbe -> catalog:8080", client=None),
        Layer.POD,
        "there is no Pod or Deployment wbe in namespace shop",
        "kubectl get deployments,pods -n shop",
    ),
    "the client is scaled to 0": (
        facts(client=None, cluster=with_cluster(deployments=(deployment("web", replicas=0),))),
        Layer.POD,
        "Deployment shop/web is scaled to 0",
        "kubectl scale deployment web --replicas=1 -n shop",
    ),
    "pods cannot be made": (
        facts(
            client=None,
            cluster=with_cluster(
                deployments=(
                    deployment(
                        "web",
                        status={"conditions": [condition("ReplicaFailure", "True", message="no injector")]},
                    ),
                )
            ),
        ),
        Layer.POD,
        "Deployment shop/web has no pods",
        "kubectl describe deployment web -n shop",
    ),
    "the servers are scaled to 0": (
        facts(
            backends=(backend(),),
            cluster=with_cluster(pods=(WEB.pod,), deployments=(deployment(replicas=0),)),
        ),
        Layer.POD,
        "Deployment shop/catalog is scaled to 0",
        "kubectl scale deployment catalog --replicas=1 -n shop",
    ),
    "the app crashes": (
        facts(**only(crashed())),
        Layer.POD,
        "does not keep running: it ended with 3",
        "kubectl logs catalog-1 -c app --previous -n shop",
    ),
    "the app cannot be started": (
        facts(**only(without_image())),
        Layer.POD,
        "cannot be started: CreateContainerConfigError",
        "kubectl edit deployment/catalog -n shop",
    ),
    "no node fits": (
        facts(
            **only(catalog(ready=False, spec={"nodeName": ""}, status={"containerStatuses": []})),
            cluster=with_cluster(
                events=(event(CATALOG_1.pod, "FailedScheduling", "0/1 nodes match disk=ssd"),)
            ),
        ),
        Layer.POD,
        "is on no node",
        "kubectl edit deployment/catalog -n shop",
    ),
    "the node is dead": (
        facts(
            **only(catalog(ready=False, status={"containerStatuses": []})),
            cluster=with_cluster(nodes=(node(ready=False),)),
        ),
        Layer.POD,
        "its node node is not ready",
        "kubectl describe node node",
    ),
    "an init container fails": (
        facts(
            **only(
                catalog(
                    ready=False,
                    status={
                        "phase": "Pending",
                        "initContainerStatuses": [waiting("migrate", "CrashLoopBackOff", ended=2)],
                    },
                )
            )
        ),
        Layer.POD,
        "init container migrate ends with 2",
        "kubectl logs catalog-1 -c migrate -n shop",
    ),
    "the interception cannot be set up": (
        facts(
            **only(
                catalog(
                    ready=False,
                    status={
                        "phase": "Pending",
                        "initContainerStatuses": [waiting("meshproxy-init", "CrashLoopBackOff", ended=1)],
                    },
                )
            )
        ),
        Layer.INTERCEPTION,
        "init container meshproxy-init ends with 1",
        "kubectl logs catalog-1 -c meshproxy-init -n shop",
    ),
    "the sidecar never became ready": (
        facts(**only(STUCK)),
        Layer.SIDECAR,
        "has not become ready, and its app waits for it",
        "kubectl logs catalog-1 -c meshproxy -n shop",
    ),
    "the client has ended": (
        facts(client=seen(pod("web-1", "10.244.0.5", status={"phase": "Failed", "reason": "Evicted"}))),
        Layer.POD,
        "has ended: Failed",
        "kubectl describe pod web-1 -n shop",
    ),
    "the client is being deleted": (
        facts(
            client=seen(pod("web-1", "10.244.0.5", metadata={"deletionTimestamp": "2027-01-15T08:00:00Z"}))
        ),
        Layer.POD,
        "is being deleted",
        "kubectl get pods -n shop",
    ),
    "it listens on 127.0.0.1 only": (
        facts(**only(seen(pod("catalog-1", "10.244.0.7"), ports=[("127.0.0.1", 8080)]))),
        Layer.LISTENING,
        "listens on 127.0.0.1:8080 only",
        "kubectl edit deployment/catalog -n shop",
    ),
    "one of two listens on 127.0.0.1 only, and the probe does not see it": (
        facts(backends=(backend(CATALOG_1, seen(pod("catalog-2", "10.244.0.8"), ports=[("::1", 8080)])),)),
        Layer.LISTENING,
        "shop/catalog-2 listens on ::1:8080 only",
        "kubectl edit deployment/catalog -n shop",
    ),
    "it listens elsewhere": (
        facts(**only(seen(pod("catalog-1", "10.244.0.7"), ports=[("::", 9090)]))),
        Layer.LISTENING,
        "nothing listens on port 8080",
        "kubectl patch service catalog --type=json -p"
        ' \'[{"op": "add", "path": "/spec/ports/0/targetPort", "value": 9090}]\' -n shop',
    ),
    "it does not listen": (
        facts(**only(seen(pod("catalog-1", "10.244.0.7"), ports=()))),
        Layer.LISTENING,
        "nothing listens on port 8080",
        "kubectl logs catalog-1 -c app -n shop",
    ),
    "no such Service": (
        facts("web -> catalgo:8080", service=None, backends=()),
        Layer.DNS,
        "there is no Service catalgo in namespace shop",
        "kubectl get services -n shop",
    ),
    "the Service is in another namespace": (
        facts("outsider -> catalog:8080", namespace="plain", service=None, backends=()),
        Layer.DNS,
        "catalog means Service plain/catalog, which does not exist",
        "meshctl diagnose 'outsider -> catalog.shop:8080'",
    ),
    "the DNS server is silent": (
        facts(resolution=NO_DNS),
        Layer.DNS,
        "catalog does not resolve in shop/web-1",
        "kubectl get pods,endpointslices -n kube-system -l k8s-app=kube-dns",
    ),
    "the pod asks somebody else": (
        facts(
            client=seen(pod("web-1", "10.244.0.5", spec={"dnsPolicy": "Default"}), ports=()),
            resolution=NO_SEARCH,
        ),
        Layer.DNS,
        "catalog does not resolve in shop/web-1",
        "kubectl edit deployment/web -n shop",
    ),
    "the hosts file says otherwise": (
        facts(
            client=seen(pod("web-1", "10.244.0.5", spec=HOSTS), ports=()),
            resolution=Resolution(("10.9.9.9",)),
        ),
        Layer.DNS,
        "resolves in shop/web-1 to 10.9.9.9, which is not the Service",
        "kubectl edit deployment/web -n shop",
    ),
    "a selector is misspelt": (
        facts(
            service=TYPO,
            backends=(backend(of=TYPO, slices=()),),
        ),
        Layer.ENDPOINTS,
        "selects app=catalgo, which no pod in shop carries",
        "kubectl patch service catalog --type=json -p"
        ' \'[{"op": "replace", "path": "/spec/selector", "value": {"app": "catalog"}}]\' -n shop',
    ),
    "the pods are in another namespace": (
        facts(
            backends=(backend(slices=()),),
            cluster=with_cluster(pods=(pod("catalog-1", "10.244.0.7", namespace="prod"),), deployments=()),
        ),
        Layer.ENDPOINTS,
        "selects app=catalog, which no pod in shop carries",
        "kubectl get service catalog -n shop -o yaml",
    ),
    "nobody is like what is selected": (
        facts(
            backends=(backend(slices=()),),
            cluster=with_cluster(
                pods=(pod("zzz-1", "10.244.0.9"), pod("catalogs-1", "10.244.0.10", namespace="prod")),
                deployments=(),
            ),
        ),
        Layer.ENDPOINTS,
        "selects app=catalog, which no pod in shop carries",
        "kubectl get pods --show-labels -n shop",
    ),
    "no such port": (
        facts("web -> catalog:8081", port=8081, backends=()),
        Layer.ENDPOINTS,
        "Service shop/catalog has no port 8081",
        "meshctl diagnose 'web -> catalog:8080'",
    ),
    "the port is not declared though the app listens there": (
        facts(
            "web -> catalog:9090",
            port=9090,
            backends=(
                replace(backend(seen(pod("catalog-1", "10.244.0.7"), ports=[("::", 9090)])), port=9090),
            ),
        ),
        Layer.ENDPOINTS,
        "Service shop/catalog has no port 9090",
        "kubectl patch service catalog --type=json -p"
        ' \'[{"op": "add", "path": "/spec/ports/-", "value": {"name": "tcp-9090", "port": 9090}}]\' -n shop',
    ),
    "a target port by a name that is not there": (
        facts(service=BY_NAME, **only(CATALOG_1, of=BY_NAME, slices=())),
        Layer.ENDPOINTS,
        "leads to the port named web, which its pods do not declare",
        "kubectl patch service catalog --type=json -p"
        ' \'[{"op": "replace", "path": "/spec/ports/0/targetPort", "value": "http"}]\' -n shop',
    ),
    "the readiness probe fails": (
        facts(
            **only(unready()),
            cluster=with_cluster(events=(event(CATALOG_1.pod, "Unhealthy", "Readiness probe: 500"),)),
        ),
        Layer.ENDPOINTS,
        "no pod of Service shop/catalog is ready",
        "kubectl logs catalog-1 -c app -n shop",
    ),
    "a readiness gate is closed": (
        facts(
            **only(
                catalog(
                    spec={"readinessGates": [{"conditionType": "example.com/warm"}]},
                    status={"conditions": [condition("Ready", "False")]},
                )
            )
        ),
        Layer.ENDPOINTS,
        "its readiness gate example.com/warm is not true",
        "kubectl describe pod catalog-1 -n shop",
    ),
    "nobody keeps EndpointSlices": (
        facts(**only(CATALOG_1, slices=())),
        Layer.ENDPOINTS,
        "is ready, but no EndpointSlice of Service shop/catalog says so",
        "kubectl get endpointslices -l kubernetes.io/service-name=catalog -n shop",
    ),
    "every pod is leaving": (
        facts(**only(catalog(ready=False, metadata={"deletionTimestamp": "2027-01-15T08:00:00Z"}))),
        Layer.ENDPOINTS,
        "every pod of Service shop/catalog is being deleted",
        "kubectl get deployments,pods -n shop",
    ),
    "a Service without a selector and without endpoints": (
        facts(service=service(selector={}), backends=(backend(of=service(selector={}), slices=()),)),
        Layer.ENDPOINTS,
        "selects no pods, and no EndpointSlice says",
        "kubectl edit service catalog -n shop",
    ),
    "another name for what is not there": (
        facts(
            service=service(
                type="ExternalName", externalName="db.shop.svc.cluster.local", clusterIP="", selector={}
            ),
            backends=(),
        ),
        Layer.ENDPOINTS,
        "is another name for db.shop.svc.cluster.local, which does not exist",
        "kubectl edit service catalog -n shop",
    ),
    "a route to a port that is not there": (
        facts(backends=(replace(backend(CATALOG_1, slices=()), port=9999),)),
        Layer.ENDPOINTS,
        "a route leads to port 9999 of Service shop/catalog",
        "kubectl describe service catalog -n shop",
    ),
    "packets are dropped": (
        facts(
            **only(inside(CATALOG_1, refusals=CLOSED)),
            reached={"10.244.0.7:8080": SILENT},
        ),
        Layer.ADDRESS,
        "shop/web-1 does not reach 10.244.0.7:8080, which is shop/catalog-1: no answer in 2 s",
        "nsenter --target 4711 --net iptables -t filter -D INPUT -p tcp -m tcp --dport 15006 -j DROP",
    ),
    "the nodes' network is broken": (
        facts(reached={"10.244.0.7:8080": "", "10.244.0.8:8080": "No route to host"}),
        Layer.ADDRESS,
        "does not reach 10.244.0.8:8080",
        "kubectl describe pod catalog-2 -n shop",
    ),
    "the node does not translate": (
        facts(client=PLAIN_WEB, service_reached=SILENT, **only(seen(CATALOG_1.pod))),
        Layer.ADDRESS,
        f"but not the Service's address {VIP}:8080",
        "kubectl describe node node",
    ),
    "the interception was flushed": (
        facts(client=inside(WEB, rules=EMPTY)),
        Layer.INTERCEPTION,
        "shop/web-1 has no interception rules",
        "kubectl rollout restart deployment/web -n shop",
    ),
    "somebody changed the interception": (
        facts(client=cut_interception()),
        Layer.INTERCEPTION,
        "shop/web-1 has other interception rules than it should",
        "kubectl rollout restart deployment/web -n shop",
    ),
    "the app runs as the sidecar": (
        facts(client=seen(pod("web-1", "10.244.0.5", spec=APP_1337), ports=())),
        Layer.INTERCEPTION,
        "runs as the sidecar's user or group",
        "kubectl edit deployment/web -n shop",
    ),
    "the client's sidecar hangs": (
        facts(client=asked(WEB, SidecarFacts(problem="/ready: timed out"))),
        Layer.SIDECAR,
        "the sidecar of shop/web-1 does not answer",
        "kubectl rollout restart deployment/web -n shop",
    ),
    "a server's sidecar is dead": (
        facts(
            backends=(backend(CATALOG_1, asked(CATALOG_2, SidecarFacts(problem="refused"))),),
            reached={"10.244.0.7:8080": "", "10.244.0.8:8080": REFUSED},
        ),
        Layer.SIDECAR,
        "the sidecar of shop/catalog-2 does not answer",
        "kubectl rollout restart deployment/catalog -n shop",
    ),
    "the sidecar waits for its configuration": (
        facts(client=asked(WEB, replace(sidecar(), not_ready=("no configuration yet: refused",)))),
        Layer.SIDECAR,
        "the sidecar of shop/web-1 is not ready",
        "kubectl get endpointslices -n meshproxy-system",
    ),
    "the sidecar drains": (
        facts(client=asked(WEB, replace(sidecar(), not_ready=("draining",)))),
        Layer.SIDECAR,
        "is draining",
        "kubectl rollout restart deployment/web -n shop",
    ),
    "a server's sidecar is no longer ready": (
        facts(
            **only(
                asked(
                    catalog(
                        status={
                            "initContainerStatuses": [running("meshproxy", ready=False)],
                            "conditions": [condition("Ready", "False")],
                        }
                    ),
                    replace(sidecar(), not_ready=("no worker runs",)),
                )
            )
        ),
        Layer.SIDECAR,
        "is not ready, so the pod is no endpoint",
        "kubectl logs catalog-1 -c meshproxy -n shop",
    ),
    "the configuration is refused": (
        facts(client=replace(WEB, sync=sync(rds="NACKED"))),
        Layer.CONFIGURATION,
        "the sidecar of shop/web-1 refuses the rds of its configuration",
        "meshctl proxy-status",
    ),
    "the configuration is not acknowledged": (
        facts(backends=(backend(replace(CATALOG_1, sync=sync(lds="STALE"))),)),
        Layer.CONFIGURATION,
        "the sidecar of shop/catalog-1 has not acknowledged the lds",
        "kubectl rollout restart deployment/catalog -n shop",
    ),
    "the configuration cannot be put in force": (
        facts(client=asked(WEB, sidecar(info={"configuration_error": "port 80: permission denied"}))),
        Layer.CONFIGURATION,
        "cannot put its configuration in force",
        "kubectl logs web-1 -c meshproxy -n shop",
    ),
    "cut off before the Service was made": (
        facts(
            client=asked(
                WEB,
                sidecar(cluster_page(name="other"), info={"xds": {"connected": False, "last_error": "x"}}),
            )
        ),
        Layer.CONFIGURATION,
        "does not know port 8080 of Service shop/catalog",
        "kubectl get endpointslices -n meshproxy-system",
    ),
    "cut off before the pods were": (
        facts(client=asked(WEB, sidecar(cluster_page(endpoint("10.244.0.99:8080"))))),
        Layer.CONFIGURATION,
        "knows none of the ready endpoints of Service shop/catalog",
        "meshctl proxy-status",
    ),
    "the certificate has expired": (
        facts(client=asked(WEB, sidecar(certificate={"expiration_time": "2027-01-15T07:00:00+00:00"}))),
        Layer.CERTIFICATE,
        "the certificate of shop/web-1 has expired",
        "kubectl get endpointslices -n meshproxy-system",
    ),
    "the clocks differ": (
        facts(
            backends=(
                backend(asked(CATALOG_1, sidecar(certificate={"valid_from": "2027-01-15T09:00:00+00:00"}))),
            )
        ),
        Layer.CERTIFICATE,
        "the certificate of shop/catalog-1 is not valid yet",
        "kubectl get endpointslices -n meshproxy-system",
    ),
    "there is no certificate": (
        facts(client=asked(WEB, sidecar(certs={"certificate": None, "last_error": "token refused"}))),
        Layer.CERTIFICATE,
        "the sidecar of shop/web-1 has no certificate",
        "kubectl get endpointslices -n meshproxy-system",
    ),
    "a server proves to be somebody else": (
        facts(
            backends=(
                backend(
                    asked(
                        CATALOG_1,
                        sidecar(certificate={"spiffe_id": "spiffe://cluster.local/ns/shop/sa/other"}),
                    )
                ),
            )
        ),
        Layer.CERTIFICATE,
        "shop/catalog-1 proves to be spiffe://cluster.local/ns/shop/sa/other",
        "kubectl rollout restart deployment/catalog -n shop",
    ),
    "plaintext to STRICT, in a namespace of the mesh": (
        facts(client=PLAIN_WEB, service_reached=""),
        Layer.POLICY,
        "takes mutual TLS only (STRICT), and shop/web-1 sends plaintext: it has no sidecar",
        "kubectl rollout restart deployment/web -n shop",
    ),
    "plaintext to STRICT, from outside the mesh": (
        facts(client=PLAIN_WEB, service_reached="", cluster=with_cluster(injected_namespaces=frozenset())),
        Layer.POLICY,
        "takes mutual TLS only (STRICT), and shop/web-1 sends plaintext: it has no sidecar",
        "kubectl label namespace shop meshproxy.io/injection=enabled"
        " && kubectl rollout restart deployment/web -n shop",
    ),
    "plaintext to STRICT by an annotation": (
        facts(client=EXCLUDING),
        Layer.POLICY,
        "sends plaintext: its annotation excludeOutboundPorts names 8080",
        "kubectl edit deployment/web -n shop",
    ),
    "a pod pretends to have a sidecar": (
        facts(
            **only(
                seen(pod("catalog-1", "10.244.0.7", meshed=False, labels={"meshproxy.io/tls-mode": "mutual"}))
            )
        ),
        Layer.POLICY,
        "but no sidecar: clients send TLS to its app",
        "kubectl edit deployment/catalog -n shop",
    ),
    "a route names what is not there": (
        facts(routes=(route({"backendRefs": [{"name": "catalog", "port": 8080}]}, status=UNRESOLVED),)),
        Layer.POLICY,
        "HTTPRoute shop/split does not hold as it is",
        "kubectl edit httproute split -n shop",
    ),
    "a route leads nowhere": (
        facts(routes=(route({"backendRefs": [{"name": "catalog", "port": 8080, "weight": 0}]}),)),
        Layer.POLICY,
        "rules[0] of HTTPRoute shop/split leads nowhere",
        "kubectl edit httproute split -n shop",
    ),
    "errors on purpose": (
        facts(fault_policies=(fault_policy(abort={"httpStatus": 503, "percent": 50.0}),)),
        Layer.POLICY,
        "FaultPolicy shop/chaos answers 50 % of the requests with 503",
        "kubectl delete faultpolicy chaos -n shop",
    ),
    "everybody is ejected": (
        facts(
            client=asked(
                WEB,
                sidecar(
                    cluster_page(
                        endpoint(is_ejected=True, ejections=2), endpoint("10.244.0.8:8080", is_ejected=True)
                    )
                ),
            )
        ),
        Layer.EJECTION,
        "has shut out every endpoint of outbound|8080||catalog.shop.svc.cluster.local",
        "kubectl logs catalog-1 -c app -n shop",
    ),
    "everybody fails the health check, where a route leads": (
        facts(
            client=asked(
                WEB,
                sidecar(
                    cluster_page(endpoint(), endpoint("10.244.0.8:8080")),
                    cluster_page(endpoint(health_check="unhealthy"), name="v2"),
                    config=ROUTED,
                ),
            )
        ),
        Layer.EJECTION,
        "has shut out every endpoint of v2",
        "kubectl logs catalog-1 -c app -n shop",
    ),
    "the circuit breaker is open": (
        facts(client=asked(WEB, sidecar(cluster_page(endpoint(circuit_breaker="open"))))),
        Layer.EJECTION,
        "has shut out every endpoint",
        "kubectl logs catalog-1 -c app -n shop",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_is_named_right_and_mended(name: str) -> None:
    broken, layer, what, mend = BROKEN[name]
    found = cause_of(broken)
    assert found.layer is layer, found
    assert what in found.what
    assert found.mend == mend


def test_evidence_says_what_was_seen() -> None:
    assert cause_of(facts(**only(STUCK))).evidence == ("no certificate yet: token refused",)
    flushed = cause_of(facts(client=inside(WEB, rules=EMPTY))).evidence
    assert "missing: -A OUTPUT -p tcp -j MESHPROXY_OUTPUT" in flushed
    assert flushed[-1].startswith("and ")
    changed = cause_of(facts(client=cut_interception())).evidence
    assert "not ours: -A MESHPROXY_OUTPUT -j RETURN" in changed
    loopback = seen(pod("catalog-1", "10.244.0.7"), ports=[("127.0.0.1", 8080)])
    assert cause_of(facts(**only(loopback))).evidence == ("it listens on 127.0.0.1:8080",)
    both = cause_of(facts(**only(inside(CATALOG_1, listening=(Listening("::1", 8080),))))).evidence
    assert both == ("it listens on [::1]:8080",)
    assert inbound()["resources"]
    assert slice_of().endpoints == ()
