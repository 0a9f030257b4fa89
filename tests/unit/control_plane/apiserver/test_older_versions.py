"""Kinds of which clients know an older version: one object, shown in the version of the path."""

from tests.unit.control_plane import manifest_builder as build
from tests.unit.control_plane.apiserver.conftest import Api

GROUP = "gateway.networking.k8s.io"
OLD, NEW = f"/apis/{GROUP}/v1beta1", f"/apis/{GROUP}/v1"
GRANTS = "namespaces/default/referencegrants"


def _grant(version: str) -> dict[str, object]:
    grant = build.reference_grant("let", namespace="default", from_namespace="shop")
    return {**grant, "apiVersion": f"{GROUP}/{version}", "metadata": {"name": "let"}}


async def test_an_object_is_shown_in_the_version_of_the_path(api: Api) -> None:
    code, created = await api.call("POST", f"{OLD}/{GRANTS}", _grant("v1beta1"))
    assert (code, created["apiVersion"]) == (201, f"{GROUP}/v1beta1")
    for root, version in ((OLD, "v1beta1"), (NEW, "v1")):
        _, found = await api.call("GET", f"{root}/{GRANTS}/let")
        assert found["apiVersion"] == f"{GROUP}/{version}"
        _, listing = await api.call("GET", f"{root}/{GRANTS}")
        assert listing["apiVersion"] == f"{GROUP}/{version}"
        items = listing["items"]
        assert isinstance(items, list)
        assert [item["apiVersion"] for item in items] == [f"{GROUP}/{version}"]


async def test_a_version_that_is_not_served_is_refused(api: Api) -> None:
    code, _ = await api.call("POST", f"{NEW}/{GRANTS}", _grant("v1alpha2"))
    assert code == 400
    code, _ = await api.call("GET", f"/apis/{GROUP}/v1alpha1/{GRANTS}")
    assert code == 404


async def test_every_version_is_in_the_groups_document(api: Api) -> None:
    _, document = await api.call("GET", f"/apis/{GROUP}")
    preferred, versions = document["preferredVersion"], document["versions"]
    assert preferred == {"groupVersion": f"{GROUP}/v1", "version": "v1"}
    assert isinstance(versions, list)
    assert {version["version"] for version in versions} == {"v1", "v1alpha2", "v1alpha3", "v1beta1"}
