"""TokenReview: whose a token is, as long as what it is bound to is there."""

from pathlib import Path

import pytest

from control_plane.apiserver.identity import Role, TokenUsers
from control_plane.apiserver.review import TokenReviewSpec
from control_plane.apiserver.token_review import API_AUDIENCES, TokenReviews
from control_plane.resources.manifest import uid_of
from control_plane.store.sqlite import SqliteStore
from control_plane.tokens import TokenAuthority
from tests.unit.control_plane.apiserver.conftest import Api

NOW = 1000.0


class Setting:
    def __init__(self, store: SqliteStore, authority: TokenAuthority, uid: str) -> None:
        self.store = store
        self.reviews = TokenReviews(store, authority, TokenUsers({Role.VIEWER: "static"}), lambda: NOW)
        self.token = authority.mint(
            namespace="default",
            service_account="default",
            pod_name="web",
            pod_uid=uid,
            audiences=["one", "two"],
            ttl=60,
            now=NOW,
        ).token

    async def review(self, *audiences: str, token: str = "") -> dict:
        return await self.reviews.status(TokenReviewSpec(token=token or self.token, audiences=audiences))


@pytest.fixture
async def setting(api: Api, tmp_path: Path) -> Setting:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"containers": [{"name": "app", "image": "x"}]},
    }
    uid = uid_of(await api.store.create(pod))
    return Setting(api.store, TokenAuthority.load(tmp_path, api.store), uid)


async def test_a_pods_token(setting: Setting):
    status = await setting.review("two", "three")
    assert (status["authenticated"], status["audiences"]) == (True, ["two"])
    user = status["user"]
    assert user["username"] == "system:serviceaccount:default:default"
    assert user["extra"]["authentication.kubernetes.io/pod-name"] == ["web"]
    assert "system:serviceaccounts:default" in user["groups"]


async def test_tokens_that_are_nobodys(setting: Setting):
    for refused in (await setting.review("three"), await setting.review(token="nonsense")):
        assert "authenticated" not in refused
        assert refused["error"]
    await setting.store.delete("ServiceAccount", "default", "default")
    assert "is bound to what is gone" in (await setting.review("one"))["error"]


async def test_a_static_token_is_for_the_api_only(setting: Setting):
    status = await setting.review(token="static")
    assert (status["user"]["username"], status["audiences"]) == ("viewer", [*API_AUDIENCES])
    assert "error" in await setting.review("one", token="static")
