"""Corners of the rules that the set-ups do not meet, and the commands that mend."""

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certs.ca import create_authority
from certs.spiffe_id import TrustDomain
from meshctl.diagnose import address, command_line, ejection, interception, sidecar, traffic
from meshctl.diagnose.facts import Resolution, SidecarFacts, Unseen, place
from meshctl.diagnose.finding import Layer, State
from meshctl.diagnose.report import text_lines
from meshctl.diagnose.walk import cause, walk
from tests.unit.meshctl.diagnose.test_broken import asked, catalog, inside, only
from tests.unit.meshctl.diagnose.world import (
    CATALOG_1,
    CATALOG_2,
    NOW,
    PLAIN_WEB,
    WEB,
    backend,
    cause_of,
    event,
    facts,
    pod,
    running,
    seen,
    service,
    sync,
    waiting,
    with_cluster,
)


def alone(**owner: object) -> dict[str, object]:
    return {"ownerReferences": [owner] if owner else []}


def test_a_pod_alone_is_replaced_by_an_edited_copy() -> None:
    bare = pod("web-1", "10.244.0.5", metadata=alone())
    assert command_line.renew(bare) == "kubectl get pod web-1 -o yaml -n shop | kubectl replace --force -f -"
    assert command_line.edit_owner(bare) == (
        "kubectl get pod web-1 -o yaml -n shop > web-1.yaml"
        " && ${EDITOR:-vi} web-1.yaml && kubectl replace --force -f web-1.yaml"
    )


def test_a_jobs_pod_is_made_again_by_its_job() -> None:
    job = {"apiVersion": "batch/v1", "kind": "Job", "name": "seed", "uid": "j", "controller": True}
    seeding = pod("seed-1", "10.244.0.5", metadata=alone(**job))
    assert command_line.owner_of(seeding) == "job/seed"
    assert command_line.renew(seeding) == "kubectl delete pod seed-1 -n shop"
    stranger = pod("seed-1", "10.244.0.5", metadata=alone(**{**job, "controller": False}))
    assert command_line.owner_of(stranger) == "pod/seed-1"


def test_ipv6_places_have_brackets() -> None:
    assert place("fd00::7", 80) == "[fd00::7]:80"


def test_an_address_that_was_not_tried_is_not_judged() -> None:
    assert address.judge(facts(reached={})).state is State.ABSENT
    nowhere = service(port={"targetPort": "nowhere"})
    assert address.judge(facts(**only(CATALOG_1, of=nowhere))).state is State.ABSENT


def test_without_a_client_nobody_is_ejected_and_nothing_intercepted() -> None:
    assert ejection.judge(facts(client=None)).state is State.ABSENT
    assert interception.judge(facts(client=None, backends=())).state is State.ABSENT
    assert sidecar.judge_configuration(facts(client=None)).state is State.OK
    assert sidecar.judge_certificate(facts(client=None, backends=())).state is State.ABSENT


def test_everybody_shut_out_where_no_pod_is_known() -> None:
    by_hand = service(selector={})
    shut = {"name": "outbound|8080||catalog.shop.svc.cluster.local", "overflows": 0}
    shut["endpoints"] = [{"address": "192.0.2.1:8080", "is_ejected": True}]
    assert WEB.sidecar is not None
    client = replace(WEB, sidecar=replace(WEB.sidecar, clusters=(shut,)))  # type: ignore[type-var]
    found = ejection.judge(facts(client=client, service=by_hand, backends=(backend(of=by_hand),)))
    assert found.mend == "kubectl get pods -n shop"


@pytest.mark.parametrize(
    ("flags", "at", "port", "why"),
    [
        ([], "10.96.0.9", 8080, ""),
        (["--exclude-outbound-ip-ranges=10.96.0.0/16"], "10.96.0.9", 80, "excludeOutboundIPRanges contains"),
        (["--include-outbound-ip-ranges=10.0.0.0/16"], "10.96.0.9", 80, "includeOutboundIPRanges does not"),
        (["--include-outbound-ip-ranges=10.0.0.0/16", "--include-outbound-ports=80"], "10.96.0.9", 80, ""),
        (["--include-outbound-ip-ranges=10.0.0.0/16"], "", 80, ""),
    ],
)
def test_why_a_connection_goes_past_the_sidecar(flags: list[str], at: str, port: int, why: str) -> None:
    found = interception.bypass(pod("web-1", "10.244.0.5", flags=flags), at, port)
    assert (why in found) if why else not found


def test_interception_by_other_means_is_not_judged() -> None:
    bad_flags = pod("web-1", "10.244.0.5", flags=["--proxy-uid=root"])
    assert interception.settings_in(bad_flags) is None
    assert interception.bypass(bad_flags, "", 80) == ""
    assert not interception.takes_inbound(bad_flags, 80)
    assert interception.judge(facts(client=replace(WEB, pod=bad_flags))).state is State.OK


def test_an_app_of_the_sidecars_group_is_taken_for_it() -> None:
    spec = {
        "containers": [
            {"name": "app", "image": "none", "securityContext": {"runAsGroup": 1337, "runAsUser": 1}}
        ]
    }
    found = cause_of(facts(client=seen(pod("web-1", "10.244.0.5", spec=spec), ports=())))
    assert found.layer is Layer.INTERCEPTION
    assert found.evidence == ("runAsUser 1, runAsGroup 1337",)


def test_a_pod_that_waits_for_an_init_container_is_not_started_yet() -> None:
    pending = {
        "phase": "Pending",
        "initContainerStatuses": [waiting("migrate", "PodInitializing")],
        "containerStatuses": [waiting("app", "PodInitializing")],
    }
    late = catalog(ready=False, status=pending)
    warning = event(late.pod, "FailedMount", "configmap not found")
    found = cause_of(facts(**only(late), cluster=with_cluster(events=(warning,))))
    assert found.layer is Layer.POD
    assert "has not been started yet" in found.what
    assert found.evidence == ("FailedMount: configmap not found",)
    assert (
        "has not been started yet" in cause_of(facts(**only(catalog(status={"containerStatuses": []})))).what
    )


def test_a_sidecar_that_crashed_before_it_was_ready() -> None:
    crashed = waiting("meshproxy", "CrashLoopBackOff", ended=1)
    pending = {
        "phase": "Pending",
        "initContainerStatuses": [crashed],
        "containerStatuses": [waiting("app", "PodInitializing")],
    }
    late = replace(catalog(ready=False, status=pending), sidecar=Unseen("no"))
    found = cause_of(facts(**only(late)))
    assert (found.layer, found.evidence) == (Layer.SIDECAR, ("it ended with 1",))


def test_a_sidecar_that_ended_later_is_for_its_own_layer() -> None:
    status = {"initContainerStatuses": [waiting("meshproxy", "CrashLoopBackOff", restarts=3, ended=1)]}
    client = replace(
        seen(pod("web-1", "10.244.0.5", status=status), ports=()),
        sidecar=SidecarFacts(problem="its container does not run"),
    )
    found = cause_of(facts(client=client))
    assert found.layer is Layer.SIDECAR
    assert found.evidence == ("its container does not run", "started again 3 times")


def test_a_route_of_two_services_needs_both() -> None:
    other = service("catalog-v2", selector={"app": "zzz"})
    empty = backend(of=other, slices=())
    found = cause_of(facts(backends=(backend(CATALOG_1), empty)))
    assert found.layer is Layer.ENDPOINTS
    assert "shop/catalog-v2" in found.what


def test_a_pod_that_is_not_ready_for_no_reason_given() -> None:
    late = catalog(status={"conditions": [{"type": "Ready", "status": "False"}]})
    assert "it is not ready" in cause_of(facts(**only(late))).what


def test_named_ports_that_cannot_be_guessed_are_for_an_editor() -> None:
    containers = [{"name": "app", "image": "none"}]
    by_name = service(port={"targetPort": "web"})
    found = cause_of(
        facts(service=by_name, **only(catalog(spec={"containers": containers}), of=by_name, slices=()))
    )
    assert found.mend == "kubectl edit service catalog -n shop"
    assert found.evidence == ("pod catalog-1 declares none",)


def test_a_pods_own_name_may_be_that_of_its_service() -> None:
    own = facts(resolution=Resolution(("10.244.0.7",)))
    assert cause(walk(own)) is None


def test_nobody_is_selected_where_pods_have_no_labels() -> None:
    bare = pod("bare-1", "10.244.0.9", meshed=False, metadata={"labels": {}})
    found = cause_of(
        facts(backends=(backend(slices=()),), cluster=with_cluster(pods=(bare,), deployments=()))
    )
    assert found.mend == "kubectl get pods --show-labels -n shop"


def authority_pem() -> str:
    made = create_authority(TrustDomain("cluster.local"), now=NOW)
    return made.authority.root.public_bytes(Encoding.PEM).decode()


def test_roots_that_have_nothing_in_common() -> None:
    ours, theirs = authority_pem(), authority_pem()

    def believing(which, pem):  # type: ignore[no-untyped-def]
        return asked(
            which, replace(which.sidecar, certificates={**which.sidecar.certificates, "ca_cert": pem})
        )

    found = cause_of(facts(client=believing(WEB, ours), backends=(backend(believing(CATALOG_1, theirs)),)))
    assert found.layer is Layer.CERTIFICATE
    assert "believe in different roots" in found.what
    both = facts(client=believing(WEB, ours), backends=(backend(believing(CATALOG_1, f"{theirs}{ours}")),))
    assert cause(walk(both)) is None


def test_certificates_of_a_port_that_nobody_declares_are_not_compared() -> None:
    nowhere = service(port={"targetPort": "nowhere"})
    assert sidecar.judge_certificate(facts(**only(CATALOG_1, of=nowhere))).state is State.OK
    assert sidecar.judge_certificate(facts(client=PLAIN_WEB)).state is State.OK
    assert running("app")["ready"]
    assert inside(CATALOG_2).inside == CATALOG_2.inside
    assert sync()["types"]


def test_routes_to_single_clusters_are_followed() -> None:
    action = {"route": {"cluster": "v3"}}
    hosts = [
        {"domains": ["catalog.shop.svc.cluster.local:8080"], "routes": [action, action]},
        {"domains": ["*"], "routes": [{"route": {"cluster": "PassthroughCluster"}}]},
    ]
    config = {"rds": {"resources": {"8080": {"virtual_hosts": hosts}}}}
    found = traffic.destinations(SidecarFacts(config=config), "catalog.shop.svc.cluster.local", 8080)
    assert found == ("v3",)


def test_words_of_a_rule_are_no_words_of_a_shell() -> None:
    rule = '-A INPUT -p tcp -m comment --comment "$(reboot); `x`" -j DROP'
    found = cause_of(
        facts(**only(inside(CATALOG_1, refusals=(rule,))), reached={"10.244.0.7:8080": "no answer"})
    )
    assert found.mend == (
        "nsenter --target 4711 --net iptables -t filter"
        " -D INPUT -p tcp -m comment --comment '$(reboot); `x`' -j DROP"
    )


def test_a_rule_that_cannot_be_quoted_is_only_shown() -> None:
    odd = ('-A INPUT -m comment --comment "x -j DROP',)
    found = cause_of(facts(**only(inside(CATALOG_1, refusals=odd)), reached={"10.244.0.7:8080": "no answer"}))
    assert found.mend == "nsenter --target 4711 --net iptables --list-rules"


def test_what_a_container_says_cannot_steer_the_terminal() -> None:
    ended = waiting("app", "CrashLoopBackOff")
    ended["lastState"] = {"terminated": {"exitCode": 1, "message": "no\x1b[2Jfile\nfound"}}
    broken = facts(**only(catalog(ready=False, status={"containerStatuses": [ended]})))
    assert "  no [2Jfile found" in text_lines(broken.question, walk(broken))
