"""Which Pods may still get a certificate."""

import pytest

from control_plane.resources.manifest import Manifest, ObjectKey
from control_plane.store.api import Listing, ObjectNotFound
from control_plane.workload_check import AccountCheck, WorkloadCheck


class OnePod:
    """A store with at most one Pod."""

    def __init__(self, pod: Manifest | None) -> None:
        self._pod = pod

    async def get(self, kind: str, namespace: str, name: str) -> Manifest:
        assert (kind, namespace, name) == ("Pod", "shop", "web-1")
        if self._pod is None:
            raise ObjectNotFound(ObjectKey(kind, namespace, name))
        return self._pod

    async def list(self, kind: str, namespace: str = "") -> Listing:
        raise AssertionError("one Pod is asked for by name")


def pod(*, metadata: dict[str, object] | None = None, **parts: object) -> Manifest:
    return {
        "kind": "Pod",
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "6f1", **(metadata or {})},
        "spec": {"serviceAccountName": "web"},
        "status": {"phase": "Pending"},
        **parts,
    }


async def problem(manifest: Manifest | None, account: str = "web") -> str | None:
    return await WorkloadCheck(OnePod(manifest))("shop", account, "web-1", "6f1")


async def test_a_pod_that_is_starting_may() -> None:
    assert await problem(pod()) is None


async def test_a_pod_that_names_no_account_runs_as_default() -> None:
    assert await problem(pod(spec={}), account="default") is None


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [
        (None, "does not exist"),
        (pod(metadata={"uid": "other"}), "uid other, not 6f1"),
        (pod(spec={"serviceAccountName": "admin"}), "ServiceAccount admin, not web"),
        (pod(metadata={"deletionTimestamp": "2027-01-01T00:00:00Z"}), "being deleted"),
        (pod(status={"phase": "Failed"}), "has ended: Failed"),
        (pod(status={"phase": "Succeeded"}), "has ended: Succeeded"),
    ],
)
async def test_others_may_not_and_the_reason_is_said(manifest: Manifest | None, reason: str) -> None:
    found = await problem(manifest)
    assert found is not None
    assert reason in found
    assert "Pod shop/web-1" in found


class Namespace:
    """A store with ServiceAccount `web` and some Pods."""

    def __init__(self, *pods: Manifest, account: str = "web") -> None:
        self._pods = [*pods]
        self._account = account

    async def get(self, kind: str, namespace: str, name: str) -> Manifest:
        assert (kind, namespace) == ("ServiceAccount", "shop")
        if name != self._account:
            raise ObjectNotFound(ObjectKey(kind, namespace, name))
        return {}

    async def list(self, kind: str, namespace: str = "") -> Listing:
        assert (kind, namespace) == ("Pod", "shop")
        return Listing(self._pods, 1)


@pytest.mark.parametrize(
    ("namespace", "problem"),
    [
        (Namespace(pod(spec={"serviceAccountName": "admin"}), pod()), None),
        (Namespace(pod(), account="other"), "ServiceAccount shop/web does not exist any more"),
        (Namespace(), "no Pod runs as ServiceAccount shop/web any more"),
        (
            Namespace(pod(status={"phase": "Failed"}), pod(spec={})),
            "no Pod runs as ServiceAccount shop/web any more",
        ),
    ],
)
async def test_an_account_is_in_use_while_a_pod_runs_as_it(namespace: Namespace, problem: str | None) -> None:
    assert await AccountCheck(namespace)("shop", "web") == problem
