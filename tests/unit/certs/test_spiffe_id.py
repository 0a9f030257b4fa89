"""SPIFFE ids: what is an identity and what is not."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certs.errors import SpiffeIdError
from certs.spiffe_id import MAX_ID_LENGTH, SpiffeId, TrustDomain

MESH = TrustDomain("cluster.local")

trust_domains = st.text(string.ascii_lowercase + string.digits + "._-", min_size=1, max_size=255)
segments = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=40).filter(
    lambda segment: segment not in {".", ".."}
)


@given(trust_domains, st.lists(segments, max_size=6))
def test_every_valid_id_survives_a_round_trip(name: str, path: list[str]) -> None:
    text = f"spiffe://{name}" + "".join(f"/{segment}" for segment in path)
    assert str(SpiffeId.parse(text)) == text


@given(st.text(max_size=60) | st.text("spife:/.-_aB0%?#@ \n\x00é").map(lambda tail: "spiffe://" + tail))
def test_any_text_is_an_id_that_prints_the_same_or_is_refused(text: str) -> None:
    try:
        parsed = SpiffeId.parse(text)
    except SpiffeIdError:
        return
    assert str(parsed) == text


@given(trust_domains, segments, segments)
def test_workload_ids_give_back_their_parts(name: str, namespace: str, service_account: str) -> None:
    identity = SpiffeId.for_workload(TrustDomain(name), namespace, service_account)
    again = SpiffeId.parse(str(identity))
    assert again == identity
    assert (again.namespace, again.service_account) == (namespace, service_account)


def test_a_workload_id_has_the_form_istio_uses() -> None:
    assert str(SpiffeId.for_workload(MESH, "shop", "web")) == "spiffe://cluster.local/ns/shop/sa/web"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "cluster.local/ns/shop",
        "SPIFFE://cluster.local/a",
        "https://cluster.local/a",
        "spiffe:///a",
        "spiffe://",
        "spiffe://Cluster.local/a",
        "spiffe://cluster.local:8443/a",
        "spiffe://user@cluster.local/a",
        "spiffe://cluster.local/",
        "spiffe://cluster.local/a/",
        "spiffe://cluster.local//a",
        "spiffe://cluster.local/a/../b",
        "spiffe://cluster.local/./b",
        "spiffe://cluster.local/a%41",
        "spiffe://cluster.local/a?b",
        "spiffe://cluster.local/a#b",
        "spiffe://cluster.local/a\n",
        "spiffe://cluster.local\n",
        "spiffe://cluster.local/a\x00",
        "spiffe://cluster.local/é",
        "spiffe://cluster.local/١",
        f"spiffe://{'a' * 256}/a",
        f"spiffe://a/{'b' * MAX_ID_LENGTH}",
    ],
)
def test_what_is_not_an_id_is_refused(text: str) -> None:
    with pytest.raises(SpiffeIdError):
        SpiffeId.parse(text)


def test_limits_are_inclusive() -> None:
    assert TrustDomain("a" * 255).name
    longest = "spiffe://a/" + "b" * (MAX_ID_LENGTH - len("spiffe://a/"))
    assert str(SpiffeId.parse(longest)) == longest


@pytest.mark.parametrize(
    ("namespace", "account"), [("a/b", "c"), ("", "c"), ("a", ""), ("..", "c"), ("a", "b/c")]
)
def test_a_name_cannot_move_the_other_parts_of_a_workload_id(namespace: str, account: str) -> None:
    with pytest.raises(SpiffeIdError):
        SpiffeId.for_workload(MESH, namespace, account)


def test_a_path_must_begin_with_a_slash() -> None:
    with pytest.raises(SpiffeIdError, match="begin with '/'"):
        SpiffeId(MESH, "ns/shop")


@pytest.mark.parametrize("path", ["", "/ns/shop", "/ns/shop/sa/web/more", "/sa/web/ns/shop"])
def test_other_ids_have_no_namespace_and_account(path: str) -> None:
    identity = SpiffeId(MESH, path)
    assert identity.namespace is None
    assert identity.service_account is None


def test_a_trust_domain_has_an_id_of_its_own() -> None:
    assert str(MESH.spiffe_id) == "spiffe://cluster.local"
    assert SpiffeId.parse("spiffe://cluster.local") == MESH.spiffe_id


def test_a_long_refused_value_is_shortened_in_the_message() -> None:
    with pytest.raises(SpiffeIdError) as refused:
        TrustDomain("A" * 100_000)
    assert len(str(refused.value)) < 300
