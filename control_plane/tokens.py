"""Workload tokens: short-lived, bound to one Pod and ServiceAccount, good for one certificate.

The shape is Kubernetes' bound ServiceAccount token (TokenRequest), so that the issuer can later check real
ones: a JWT signed with ES256 whose claim `kubernetes.io` names namespace, pod and serviceaccount. What has
been redeemed is kept by a replay guard (the store) as a hash, until the token would have expired anyway;
neither tokens nor their ids are stored or logged.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from certs.store import load_or_create_key

TOKEN_AUDIENCE: Final = "meshproxy-ca"  # noqa: S105 - a public name
"""The audience that the signing service asks for; a token for anything else is of no use there."""

KEY_FILE: Final = "token-signing-key.pem"
"""In the control plane's data directory: a restart must not invalidate tokens that pods are about to use."""

MAX_TOKEN_LENGTH: Final = 8 * 1024
"""Characters; a token with the longest Kubernetes names has below 2 KiB."""

_ALGORITHM: Final = "ES256"
_BUCKET: Final = "redeemed-workload-tokens"
_CLEANUP_INTERVAL: Final = 600.0
"""Seconds between two removals of redeemed ids that have expired."""

RefusalReason = Literal["malformed", "bad_signature", "wrong_audience", "expired", "replayed"]
"""Stable words for metrics and logs."""


class TokenRefused(Exception):
    """A token that is not accepted. `reason` is stable; the message, for people, never holds the token."""

    def __init__(self, reason: RefusalReason, message: str) -> None:
        super().__init__(message)
        self.reason: Final = reason


class ReplayGuard(Protocol):
    """What remembers redeemed tokens over restarts. A Protocol, because stores lie above tokens."""

    async def put_once(self, bucket: str, key: str, expires_at: float) -> bool:
        """Record `key` durably; False when it is there already. `expires_at` in seconds since the epoch."""
        ...

    async def forget_expired(self, now: float) -> None:
        """Drop what has expired at `now`."""
        ...


@dataclass(frozen=True, slots=True)
class MintedToken:
    """A token as it goes to the kubelet."""

    token: str
    expires_at: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a verified token says."""

    namespace: str
    service_account: str
    pod_name: str
    pod_uid: str
    token_id: str
    expires_at: float
    """Seconds since the epoch."""


class WorkloadTokens(Protocol):
    """What the signing service asks of tokens, wherever they come from."""

    async def claims(self, token: str, *, now: float) -> TokenClaims:
        """Whose the token is, without using it up. Raises TokenRefused."""
        ...

    async def spend(self, claims: TokenClaims, *, now: float) -> None:
        """Use it up, if it is good for one certificate only. Raises TokenRefused when it was used before."""
        ...


class TokenAuthority:
    """Mints and redeems workload tokens with one signing key. All times are seconds since the epoch."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, replay_guard: ReplayGuard) -> None:
        self._key = key
        self._public_key = key.public_key()
        self._guard = replay_guard
        self._cleanup_at = 0.0

    @classmethod
    def load(cls, data_dir: Path, replay_guard: ReplayGuard) -> TokenAuthority:
        """With the key of `data_dir`, created at the first start. Raises `certs.errors.KeyStoreError`."""
        return cls(load_or_create_key(data_dir / KEY_FILE, "token signing key"), replay_guard)

    def mint(
        self,
        *,
        namespace: str,
        service_account: str,
        pod_name: str,
        pod_uid: str,
        audiences: Collection[str],
        ttl: float,
        now: float,
    ) -> MintedToken:
        """A new token. The caller has checked that Pod and ServiceAccount exist. Raises ValueError."""
        if ttl <= 0:
            raise ValueError(f"ttl must be above 0 s, not {ttl}")
        if not audiences:
            raise ValueError("audiences must name at least one audience")
        expires_at = int(now + ttl)
        claims = {
            "aud": list(audiences),
            "exp": expires_at,
            "iat": int(now),
            "nbf": int(now),
            "jti": secrets.token_urlsafe(24),
            "sub": f"system:serviceaccount:{namespace}:{service_account}",
            "kubernetes.io": {
                "namespace": namespace,
                "pod": {"name": pod_name, "uid": pod_uid},
                "serviceaccount": {"name": service_account},
            },
        }
        return MintedToken(jwt.encode(claims, self._key, algorithm=_ALGORITHM), float(expires_at))

    def verify(self, token: str, *, audience: str, now: float) -> TokenClaims:
        """Check everything but earlier use. Raises TokenRefused."""
        if len(token) > MAX_TOKEN_LENGTH:
            raise TokenRefused(
                "malformed", f"token has {len(token)} characters; the limit is {MAX_TOKEN_LENGTH}"
            )
        payload = self._decode(token, audience)
        claims = _read_claims(payload)
        if now >= claims.expires_at:
            raise TokenRefused(
                "expired", f"token expired {now - claims.expires_at:.0f} s ago; a new one is needed"
            )
        return claims

    async def claims(self, token: str, *, now: float) -> TokenClaims:
        """`verify` for the signing service's own audience. Raises TokenRefused."""
        return self.verify(token, audience=TOKEN_AUDIENCE, now=now)

    async def spend(self, claims: TokenClaims, *, now: float) -> None:
        """Use up a verified token, durably. Raises TokenRefused when it was used before."""
        if now >= self._cleanup_at:
            self._cleanup_at = now + _CLEANUP_INTERVAL
            await self._guard.forget_expired(now)
        digest = hashlib.sha256(claims.token_id.encode()).hexdigest()
        if not await self._guard.put_once(_BUCKET, digest, claims.expires_at):
            raise TokenRefused("replayed", "token was used before; each is good for one certificate")

    async def redeem(self, token: str, *, audience: str, now: float) -> TokenClaims:
        """Verify and spend in one. Raises TokenRefused."""
        claims = self.verify(token, audience=audience, now=now)
        await self.spend(claims, now=now)
        return claims

    def _decode(self, token: str, audience: str) -> Mapping[str, object]:
        # Times are compared with the caller's `now`, not by PyJWT with the machine's clock. Without leeway:
        # the same machine mints and redeems.
        try:
            payload: Mapping[str, object] = jwt.decode(
                token,
                self._public_key,
                algorithms=[_ALGORITHM],
                audience=audience,
                options={
                    "require": ["exp", "aud", "jti"],
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidAudienceError as exc:
            raise TokenRefused("wrong_audience", f"token is not for audience {audience!r}") from exc
        except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError) as exc:
            raise TokenRefused("bad_signature", "token was not signed by this control plane") from exc
        except jwt.InvalidTokenError as exc:
            raise TokenRefused("malformed", f"token cannot be read: {exc}") from exc
        return payload


def _read_claims(payload: Mapping[str, object]) -> TokenClaims:
    match payload:
        case {
            "exp": int(expires_at),
            "jti": str(token_id),
            "kubernetes.io": {
                "namespace": str(namespace),
                "pod": {"name": str(pod_name), "uid": str(pod_uid)},
                "serviceaccount": {"name": str(service_account)},
            },
        }:
            return TokenClaims(namespace, service_account, pod_name, pod_uid, token_id, float(expires_at))
        case _:
            raise TokenRefused(
                "malformed", "token names no Pod and ServiceAccount; it must be bound to a Pod"
            )
