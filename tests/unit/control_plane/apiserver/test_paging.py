"""Lists in pages: one state for all of them, as long as it is held."""

import pytest

from control_plane.apiserver.failure import Failure
from control_plane.apiserver.paging import Pages, Token, TokenExpired
from control_plane.apiserver.selector import Selection, parse_selection
from control_plane.resources.manifest import Manifest, name_of
from control_plane.store.api import Listing
from tests.unit.control_plane.apiserver.conftest import Api

EVERYTHING = Selection()


def pod(namespace: str, name: str, **labels: str) -> Manifest:
    return {"metadata": {"namespace": namespace, "name": name, "labels": labels}}


PODS = [pod("a", "x", odd="1"), pod("a", "y"), pod("b", "a", odd="1"), pod("b", "b"), pod("c", "z", odd="1")]


def names(items: object) -> list[str]:
    return [name_of(item) for item in items]  # type: ignore[attr-defined]


def test_pages_go_on_with_the_state_of_the_first():
    pages = Pages()
    first = pages.first("Pod", "", Listing(PODS, 7), EVERYTHING, 2)
    assert (names(first.items), first.remaining) == (["x", "y"], 3)
    later = Listing([pod("a", "new"), PODS[0], *PODS[3:]], 9)
    second = pages.next("Pod", "", Token.decode(first.token), later, EVERYTHING, 2)
    assert (names(second.items), second.version) == (["a", "b"], 7)
    last = pages.next("Pod", "", Token.decode(second.token), later, EVERYTHING, 2)
    assert (names(last.items), last.token) == (["z"], "")


def test_a_selection_holds_for_every_page():
    pages, odd = Pages(), parse_selection("odd", "")
    first = pages.first("Pod", "", Listing(PODS, 7), odd, 2)
    assert names(first.items) == ["x", "a"]
    assert "remainingItemCount" not in first.metadata(is_filtered=True)
    rest = pages.next("Pod", "", Token.decode(first.token), Listing([], 8), odd, 2)
    assert (names(rest.items), rest.token) == (["z"], "")


def test_what_fits_is_not_kept():
    pages = Pages()
    for limit in (0, 5, 6):
        page = pages.first("Pod", "", Listing(PODS, 7), EVERYTHING, limit)
        assert (len(page.items), page.token) == (5, "")
    assert len(pages) == 0


def test_a_state_given_up_leads_to_the_rest_as_it_is():
    pages = Pages(capacity=1)
    first = pages.first("Pod", "", Listing(PODS, 7), EVERYTHING, 2)
    pages.first("Pod", "b", Listing(PODS[2:4], 8), EVERYTHING, 1)
    with pytest.raises(TokenExpired) as refused:
        pages.next("Pod", "", Token.decode(first.token), Listing(PODS, 9), EVERYTHING, 2)
    body = refused.value.body()
    assert (body["code"], body["reason"]) == (410, "Expired")
    token = Token.decode(body["metadata"]["continue"])  # type: ignore[index]
    current = Listing([pod("a", "new"), pod("b", "new"), *PODS[3:]], 9)
    rest = pages.next("Pod", "", token, current, EVERYTHING, 2)
    assert (names(rest.items), rest.version) == (["new", "b"], 9)
    assert Token.decode(rest.token).version == -1


def test_the_state_of_now_needs_not_be_held():
    token = Token(9, ("b", "a"))
    assert names(Pages().next("Pod", "", token, Listing(PODS, 9), EVERYTHING, 0).items) == ["b", "z"]


@pytest.mark.parametrize("text", ["", "x", "ü", "e30", "W10", "bnVsbA", "A" * 5000])
def test_tokens_that_are_not_ours(text: str):
    with pytest.raises(Failure, match="continue key is not valid"):
        Token.decode(text)


async def test_over_http(api: Api):
    for name in ("a", "b", "c"):
        await api.call("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": name}})
    path = "/api/v1/namespaces/default/configmaps"
    _, first = await api.call("GET", path, limit="2")
    assert [name_of(one) for one in first["items"]] == ["a", "b"]  # type: ignore[attr-defined]
    meta = first["metadata"]
    assert meta["remainingItemCount"] == 1  # type: ignore[index]
    token = {"continue": meta["continue"]}  # type: ignore[index]
    await api.call("POST", path, {"metadata": {"name": "bb"}})
    _, last = await api.call("GET", path, limit="2", **token)
    assert [name_of(one) for one in last["items"]] == ["c"]  # type: ignore[attr-defined]
    assert last["metadata"] == {"resourceVersion": meta["resourceVersion"]}  # type: ignore[index]
    assert (await api.call("GET", path, resourceVersion="5", **token))[0] == 400
