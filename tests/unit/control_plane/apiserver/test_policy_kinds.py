"""The mesh's own kinds through the REST API: created, read, replaced, patched, deleted; refused by field."""

import pytest

from control_plane.resources.manifest import Manifest, resource_version_of, section
from tests.unit.control_plane.apiserver.conftest import Api
from tests.unit.control_plane.resources import test_policies as sample
from tests.unit.control_plane.test_peer_authentication import peer

ROOT = "/apis/meshproxy.io/v1alpha1/namespaces/default"
SAMPLES = [
    ("trafficpolicies", sample.FULL),
    ("faultpolicies", sample.FAULT),
    ("ratelimitpolicies", sample.RATE),
    ("serviceentries", sample.ENTRY),
    ("peerauthentications", peer("PERMISSIVE")),
]


def named(manifest: Manifest) -> Manifest:
    return {**manifest, "metadata": {"name": "one", "namespace": "default"}}


@pytest.mark.parametrize(("plural", "manifest"), SAMPLES)
async def test_every_verb(api: Api, plural: str, manifest: Manifest) -> None:
    code, created = await api.call("POST", f"{ROOT}/{plural}", named(manifest))
    assert code == 201, created
    assert created["spec"] == manifest["spec"]
    code, read = await api.call("GET", f"{ROOT}/{plural}/one")
    assert (code, read["spec"]) == (200, manifest["spec"])
    replaced = {**named(manifest)}
    replaced["metadata"] = {**section(replaced, "metadata"), "resourceVersion": resource_version_of(read)}
    assert (await api.call("PUT", f"{ROOT}/{plural}/one", replaced))[0] == 200
    code, listed = await api.call("GET", f"{ROOT}/{plural}")
    assert code == 200
    assert isinstance(listed["items"], list)
    assert len(listed["items"]) == 1
    assert (await api.call("DELETE", f"{ROOT}/{plural}/one"))[0] == 200
    assert (await api.call("GET", f"{ROOT}/{plural}/one"))[0] == 404


@pytest.mark.parametrize(("plural", "manifest"), SAMPLES)
async def test_an_unknown_field_is_named(api: Api, plural: str, manifest: Manifest) -> None:
    spoilt = named(manifest)
    spoilt["spec"] = {**section(manifest, "spec"), "surprise": 1}
    code, answer = await api.call("POST", f"{ROOT}/{plural}", spoilt)
    assert code == 422
    causes = section(answer, "details")["causes"]
    assert isinstance(causes, list)
    assert [cause["field"] for cause in causes] == ["spec.surprise"]
