"""What a lab still waits for."""

from control_plane.resources.deployment import Deployment
from control_plane.resources.manifest import Manifest, ObjectKey
from control_plane.resources.pod import Pod
from lab.progress import reason, waiting_for
from tests.unit.lab.builders import deployment, deployment_manifest, owned_pod, pod_manifest

DEPLOYMENT = ObjectKey("Deployment", "shop", "web")
POD = ObjectKey("Pod", "shop", "web-1")
SERVICE = ObjectKey("Service", "shop", "web")
COMPLETE: Manifest = {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}


def pod_with(status: Manifest, **spec: object) -> Pod:
    return Pod.parse({**pod_manifest(**spec), "status": status})


def test_other_kinds_are_not_waited_for() -> None:
    assert waiting_for([SERVICE], [], []) == []


def test_a_deployment_is_waited_for_until_all_its_pods_are_ready() -> None:
    found = [owned_pod("a", "h", ready=True), owned_pod("b", "h", ready=False)]
    [entry] = waiting_for([DEPLOYMENT], [deployment()], found)
    assert (entry.what, entry.why) == ("Deployment shop/web", "1 of 2 pods are ready")
    assert [pod.metadata.name for pod in entry.pods] == ["b"]
    done = Deployment.parse({**deployment_manifest(), "status": COMPLETE})
    assert waiting_for([DEPLOYMENT], [done], found) == []


def test_what_does_not_exist_is_said() -> None:
    assert [entry.why for entry in waiting_for([DEPLOYMENT, POD], [], [])] == ["it does not exist"] * 2


def test_a_pod_is_waited_for_until_it_is_ready_or_has_succeeded() -> None:
    message = {"type": "Ready", "status": "False", "message": "app: HTTP status 503"}
    [entry] = waiting_for([POD], [], [pod_with({"conditions": [message]})])
    assert entry.why == "app: HTTP status 503"
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert waiting_for([POD], [], [pod_with(ready)]) == []
    assert waiting_for([POD], [], [pod_with({"phase": "Succeeded"})]) == []


def test_a_pod_that_says_nothing_was_not_started_or_not_admitted() -> None:
    assert reason(pod_with({}, nodeName="node")) == "it has not been started yet"
    assert reason(pod_with({})) == "it has not been admitted yet"


def test_of_several_conditions_the_message_of_ready_is_the_reason() -> None:
    others = [
        {"type": "Initialized", "status": "False", "message": "x"},
        {"type": "Ready", "status": "False"},
    ]
    assert reason(pod_with({"conditions": others}, nodeName="node")) == "it has not been started yet"


def test_kinds_that_have_no_readiness_are_mixed_in() -> None:
    assert [entry.what for entry in waiting_for([SERVICE, POD, SERVICE], [], [])] == ["Pod shop/web-1"]
