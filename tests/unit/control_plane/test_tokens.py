"""Workload tokens: whom they name, how long they hold, and that each is good once."""

import stat
from pathlib import Path

import jwt
import pytest

from certs.csr import generate_key, key_to_pem
from certs.errors import KeyStoreError
from certs.store import write_private
from control_plane.store.sqlite import SqliteStore
from control_plane.tokens import KEY_FILE, TOKEN_AUDIENCE, MintedToken, TokenAuthority, TokenRefused
from tests.unit.control_plane.replay_guard import MemoryReplayGuard

NOW = 1_800_000_000.0


@pytest.fixture
def guard() -> MemoryReplayGuard:
    return MemoryReplayGuard()


@pytest.fixture
def tokens(guard: MemoryReplayGuard) -> TokenAuthority:
    return TokenAuthority(generate_key(), guard)


def mint(tokens: TokenAuthority, *, ttl: float = 600.0, audience: str = TOKEN_AUDIENCE) -> MintedToken:
    return tokens.mint(
        namespace="shop",
        service_account="web",
        pod_name="web-1",
        pod_uid="6f1",
        audiences=[audience],
        ttl=ttl,
        now=NOW,
    )


async def refusal(tokens: TokenAuthority, token: str, *, now: float = NOW) -> str:
    with pytest.raises(TokenRefused) as refused:
        await tokens.redeem(token, audience=TOKEN_AUDIENCE, now=now)
    assert token not in str(refused.value)
    return refused.value.reason


async def test_a_redeemed_token_says_whom_it_was_minted_for(tokens: TokenAuthority) -> None:
    minted = mint(tokens)
    claims = await tokens.redeem(minted.token, audience=TOKEN_AUDIENCE, now=NOW + 599)
    assert (claims.namespace, claims.service_account) == ("shop", "web")
    assert (claims.pod_name, claims.pod_uid) == ("web-1", "6f1")
    assert claims.expires_at == minted.expires_at == NOW + 600


def test_the_claims_are_those_of_a_kubernetes_bound_token(tokens: TokenAuthority) -> None:
    token = mint(tokens).token
    claims = jwt.decode(token, options={"verify_signature": False})
    assert jwt.get_unverified_header(token)["alg"] == "ES256"
    assert claims["kubernetes.io"] == {
        "namespace": "shop",
        "pod": {"name": "web-1", "uid": "6f1"},
        "serviceaccount": {"name": "web"},
    }
    assert claims["sub"] == "system:serviceaccount:shop:web"
    assert claims["aud"] == ["meshproxy-ca"]


async def test_the_second_use_is_refused(tokens: TokenAuthority) -> None:
    token = mint(tokens).token
    await tokens.redeem(token, audience=TOKEN_AUDIENCE, now=NOW)
    assert await refusal(tokens, token) == "replayed"


async def test_the_second_use_is_refused_after_a_restart(guard: MemoryReplayGuard, tmp_path: Path) -> None:
    first = TokenAuthority.load(tmp_path, guard)
    token = mint(first).token
    await first.redeem(token, audience=TOKEN_AUDIENCE, now=NOW)
    assert await refusal(TokenAuthority.load(tmp_path, guard), token) == "replayed"


async def test_the_embedded_store_remembers_over_a_restart(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "state.db")
    tokens = TokenAuthority.load(tmp_path, store)
    token = mint(tokens).token
    await tokens.redeem(token, audience=TOKEN_AUDIENCE, now=NOW)
    await store.close()
    store = await SqliteStore.open(tmp_path / "state.db")
    assert await refusal(TokenAuthority.load(tmp_path, store), token) == "replayed"
    await store.close()


async def test_an_unused_token_survives_a_restart(guard: MemoryReplayGuard, tmp_path: Path) -> None:
    token = mint(TokenAuthority.load(tmp_path, guard)).token
    claims = await TokenAuthority.load(tmp_path, guard).redeem(token, audience=TOKEN_AUDIENCE, now=NOW)
    assert claims.pod_name == "web-1"
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600


async def test_two_tokens_for_one_pod_are_each_good_once(tokens: TokenAuthority) -> None:
    for token in (mint(tokens).token, mint(tokens).token):
        await tokens.redeem(token, audience=TOKEN_AUDIENCE, now=NOW)


async def test_verifying_does_not_use_a_token_up(tokens: TokenAuthority) -> None:
    token = mint(tokens).token
    tokens.verify(token, audience=TOKEN_AUDIENCE, now=NOW)
    await tokens.redeem(token, audience=TOKEN_AUDIENCE, now=NOW)


async def test_an_expired_token_is_refused_from_its_last_second_on(tokens: TokenAuthority) -> None:
    token = mint(tokens).token
    assert await refusal(tokens, token, now=NOW + 600) == "expired"
    assert await refusal(tokens, token, now=NOW + 10_000) == "expired"


async def test_a_token_for_another_audience_is_refused(tokens: TokenAuthority) -> None:
    assert (
        await refusal(tokens, mint(tokens, audience="https://kubernetes.default.svc").token)
        == "wrong_audience"
    )


async def test_a_token_of_another_control_plane_is_refused(tokens: TokenAuthority) -> None:
    other = TokenAuthority(generate_key(), MemoryReplayGuard())
    assert await refusal(tokens, mint(other).token) == "bad_signature"


@pytest.mark.parametrize(("algorithm", "key"), [("none", ""), ("HS256", "k" * 32)])
async def test_other_algorithms_are_refused(tokens: TokenAuthority, algorithm: str, key: str) -> None:
    claims = jwt.decode(mint(tokens).token, options={"verify_signature": False})
    assert await refusal(tokens, jwt.encode(claims, key, algorithm=algorithm)) == "bad_signature"


@pytest.mark.parametrize("token", ["x", "a.b.c", "é.é.é", "e30.e30.e30"])
async def test_rubbish_is_refused(tokens: TokenAuthority, token: str) -> None:
    assert await refusal(tokens, token) in {"malformed", "bad_signature"}


async def test_an_empty_token_is_refused(tokens: TokenAuthority) -> None:
    with pytest.raises(TokenRefused):
        await tokens.redeem("", audience=TOKEN_AUDIENCE, now=NOW)


async def test_a_huge_token_is_refused_unread(tokens: TokenAuthority) -> None:
    assert await refusal(tokens, "x" * 9000) == "malformed"


@pytest.mark.parametrize("changes", [{"kubernetes.io": {"namespace": "shop"}}, {"exp": None}, {"jti": 7}])
async def test_a_signed_token_that_is_not_bound_to_a_pod_is_refused(changes: dict[str, object]) -> None:
    key = generate_key()
    tokens = TokenAuthority(key, MemoryReplayGuard())
    claims = jwt.decode(mint(tokens).token, options={"verify_signature": False}) | changes
    token = jwt.encode(
        {name: value for name, value in claims.items() if value is not None}, key, algorithm="ES256"
    )
    assert await refusal(tokens, token) == "malformed"


async def test_what_is_kept_is_a_hash_until_expiry(tokens: TokenAuthority, guard: MemoryReplayGuard) -> None:
    token = mint(tokens).token
    claims = await tokens.redeem(token, audience=TOKEN_AUDIENCE, now=NOW)
    ((_, kept), expires_at), *others = guard.held.items()
    assert not others
    assert claims.token_id not in kept
    assert expires_at == NOW + 600


async def test_what_has_expired_is_forgotten(tokens: TokenAuthority, guard: MemoryReplayGuard) -> None:
    await tokens.redeem(mint(tokens, ttl=10).token, audience=TOKEN_AUDIENCE, now=NOW)
    later = tokens.mint(
        namespace="shop",
        service_account="web",
        pod_name="web-2",
        pod_uid="6f2",
        audiences=[TOKEN_AUDIENCE],
        ttl=600,
        now=NOW + 3600,
    )
    await tokens.redeem(later.token, audience=TOKEN_AUDIENCE, now=NOW + 3600)
    assert list(guard.held.values()) == [NOW + 4200]


def test_a_token_needs_a_life_and_an_audience(tokens: TokenAuthority) -> None:
    with pytest.raises(ValueError, match="ttl"):
        mint(tokens, ttl=0)
    with pytest.raises(ValueError, match="audience"):
        tokens.mint(
            namespace="a", service_account="b", pod_name="c", pod_uid="d", audiences=[], ttl=1, now=NOW
        )


def test_a_corrupt_signing_key_is_named_and_not_replaced(tmp_path: Path) -> None:
    write_private(tmp_path / KEY_FILE, b"rubbish")
    with pytest.raises(KeyStoreError, match=f"{KEY_FILE}.*new token signing key"):
        TokenAuthority.load(tmp_path, MemoryReplayGuard())
    assert (tmp_path / KEY_FILE).read_bytes() == b"rubbish"


def test_the_key_of_a_key_file_is_used(tmp_path: Path) -> None:
    key = generate_key()
    write_private(tmp_path / KEY_FILE, key_to_pem(key))
    token = mint(TokenAuthority.load(tmp_path, MemoryReplayGuard())).token
    assert jwt.decode(
        token,
        key.public_key(),
        algorithms=["ES256"],
        audience=TOKEN_AUDIENCE,
        options={"verify_iat": False, "verify_nbf": False},
    )
