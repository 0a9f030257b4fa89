"""TokenReview: whose a bearer token is, and for which audiences."""

from collections.abc import Callable, Sequence
from typing import Protocol

from control_plane.apiserver.identity import AUTHENTICATED, TokenUsers
from control_plane.apiserver.review import TokenReviewSpec
from control_plane.resources.manifest import Manifest, uid_of
from control_plane.store.api import ObjectNotFound, Store
from control_plane.tokens import TokenClaims, TokenRefused

API_AUDIENCES = ("https://kubernetes.default.svc",)
"""What a token is asked to be for when a review names nothing else."""
_EXTRA = "authentication.kubernetes.io"


class TokenVerifier(Protocol):
    """What reads workload tokens. A Protocol: the API server needs nothing else of their authority."""

    def verify(self, token: str, *, audience: str, now: float) -> TokenClaims:
        """`now` in seconds since the epoch. Raises TokenRefused."""
        ...


class TokenReviews:
    """Answers reviews; a token counts as long as the Pod and the ServiceAccount it is bound to are there."""

    def __init__(
        self, store: Store, verifier: TokenVerifier, users: TokenUsers, now: Callable[[], float]
    ) -> None:
        """`now`: seconds since the epoch."""
        self._store = store
        self._verifier = verifier
        self._users = users
        self._now = now

    async def status(self, spec: TokenReviewSpec) -> Manifest:
        """Of the review: who it is, or why it is nobody."""
        wanted = spec.audiences or API_AUDIENCES
        user = self._users.find(spec.token.encode())
        if user is not None:
            shared = [audience for audience in wanted if audience in API_AUDIENCES]
            if shared:
                return {"authenticated": True, "user": user.info(), "audiences": shared}
            return _nobody("the token is for none of the audiences that are asked for")
        try:
            claims, audiences = self._verified(spec.token, wanted)
        except TokenRefused as exc:
            return _nobody(str(exc))
        return await self._bound_status(claims, audiences)

    def _verified(self, token: str, wanted: Sequence[str]) -> tuple[TokenClaims, list[str]]:
        """The claims, and which of the audiences the token is for. Raises TokenRefused."""
        claims, audiences, refusal = None, [], None
        for audience in wanted:
            try:
                claims = self._verifier.verify(token, audience=audience, now=self._now())
                audiences.append(audience)
            except TokenRefused as exc:
                refusal = exc
        if claims is None:
            assert refusal is not None, "at least one audience is asked for"
            raise refusal
        return claims, audiences

    async def _bound_status(self, claims: TokenClaims, audiences: list[str]) -> Manifest:
        namespace, account = claims.namespace, claims.service_account
        try:
            pod = await self._store.get("Pod", namespace, claims.pod_name)
            service_account = await self._store.get("ServiceAccount", namespace, account)
        except ObjectNotFound as exc:
            return _nobody(f"the token is bound to what is gone: {exc}")
        if uid_of(pod) != claims.pod_uid:
            return _nobody(f"the token is bound to an earlier pod {claims.pod_name}")
        group = "system:serviceaccounts"
        info: Manifest = {
            "username": f"system:serviceaccount:{namespace}:{account}",
            "uid": uid_of(service_account),
            "groups": [group, f"{group}:{namespace}", AUTHENTICATED],
            "extra": {
                f"{_EXTRA}/pod-name": [claims.pod_name],
                f"{_EXTRA}/pod-uid": [claims.pod_uid],
            },
        }
        return {"authenticated": True, "user": info, "audiences": audiences}


def _nobody(reason: str) -> Manifest:
    return {"user": {}, "error": reason}
