"""Workload tokens of a cluster that is not ours: its API server says whose they are (TokenReview).

They are the projected ServiceAccount tokens that the cluster's kubelets put into pods. Unlike those of the
embedded API server they are good for more than one certificate, because a pod that starts again finds the
same token until the kubelet replaces it; the API server refuses those of pods that are gone.
"""

from __future__ import annotations

from typing import Final

from control_plane.client import ApiClient
from control_plane.resources.manifest import Manifest, section
from control_plane.tokens import MAX_TOKEN_LENGTH, TOKEN_AUDIENCE, TokenClaims, TokenRefused

_PATH: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
_ACCOUNT_PREFIX: Final = "system:serviceaccount:"
_POD_NAME: Final = "authentication.kubernetes.io/pod-name"
_POD_UID: Final = "authentication.kubernetes.io/pod-uid"


class ClusterTokens:
    """`tokens.WorkloadTokens` by asking the API server."""

    def __init__(self, client: ApiClient) -> None:
        self._client = client

    async def claims(self, token: str, *, now: float) -> TokenClaims:
        """Whose the token is. Raises TokenRefused; ApiError and httpx.TransportError when nobody can say."""
        if len(token) > MAX_TOKEN_LENGTH:
            raise TokenRefused(
                "malformed", f"token has {len(token)} characters; the limit is {MAX_TOKEN_LENGTH}"
            )
        review: Manifest = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [TOKEN_AUDIENCE]},
        }
        return _claims(section(await self._client.post(_PATH, review), "status"))

    async def spend(self, claims: TokenClaims, *, now: float) -> None:
        """Nothing to be done: such a token may be used again."""


def _claims(status: Manifest) -> TokenClaims:
    """Raises TokenRefused."""
    if status.get("authenticated") is not True:
        message = status.get("error") or "the cluster's API server did not issue it, or its pod is gone"
        raise TokenRefused("bad_signature", f"token is not accepted: {message}")
    audiences = status.get("audiences")
    if not isinstance(audiences, list) or TOKEN_AUDIENCE not in audiences:
        # An API server that knows no audiences answers without any: then the token may be meant for others.
        raise TokenRefused("wrong_audience", f"token is not for audience {TOKEN_AUDIENCE!r}")
    user = section(status, "user")
    kind, _, account = str(user.get("username")).partition(_ACCOUNT_PREFIX)
    extra = section(user, "extra")
    match kind, account.split(":"), extra.get(_POD_NAME), extra.get(_POD_UID):
        case "", [str(namespace), str(name)], [str(pod_name)], [str(pod_uid)]:
            return TokenClaims(namespace, name, pod_name, pod_uid, "", 0.0)
        case _:
            raise TokenRefused(
                "malformed", "token names no Pod and ServiceAccount; it must be bound to a Pod"
            )
