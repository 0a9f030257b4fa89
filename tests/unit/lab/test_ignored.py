"""Fields that a pod may set and the lab does not act on."""

from lab.ignored import ignored_fields, ignored_message
from tests.unit.lab.builders import pod


def test_fields_without_effect_are_named() -> None:
    made = pod(
        hostPID=True,
        priorityClassName="high",
        securityContext={"seccompProfile": {"type": "RuntimeDefault"}},
        initContainers=[{"name": "init", "image": "busybox"}],
        containers=[
            {
                "name": "app",
                "tty": True,
                "resources": {"limits": {"cpu": "1"}},
                "ports": [{"containerPort": 80, "hostPort": 80}],
                "lifecycle": {"stopSignal": "SIGINT"},
                "securityContext": {"procMount": "Unmasked"},
                "volumeMounts": [{"name": "v", "mountPath": "/v", "mountPropagation": "HostToContainer"}],
            }
        ],
        volumes=[{"name": "v", "emptyDir": {}}],
    )
    assert ignored_fields(made) == [
        "hostPID",
        "priorityClassName",
        "securityContext.seccompProfile",
        "initContainers[init].image",
        "containers[app].resources",
        "containers[app].tty",
        "containers[app].securityContext.procMount",
        "containers[app].lifecycle.stopSignal",
        "containers[app].ports.hostPort",
        "containers[app].volumeMounts.mountPropagation",
    ]
    assert ignored_message(["a", "b"]).endswith("does not act on: a, b")


def test_a_pod_that_sets_none_has_nothing_to_tell() -> None:
    assert ignored_fields(pod(hostPID=False, containers=[{"name": "app", "command": ["x"]}])) == []
