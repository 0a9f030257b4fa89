"""TokenRequest: a short-lived token for one ServiceAccount, bound to one of its Pods."""

from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Annotated, Literal, Protocol

from pydantic import Field, ValidationError

from control_plane.apiserver.failure import Failure
from control_plane.resources.base import Model, without_nulls
from control_plane.resources.field import Items, LabelName, SubdomainName
from control_plane.resources.invalid import InvalidResource, causes_of
from control_plane.resources.manifest import Manifest, uid_of
from control_plane.resources.pod import Pod
from control_plane.resources.timestamp import rfc3339
from control_plane.store.api import Store

MIN_LIFETIME = 10
"""Seconds. Kubernetes' floor is 600; a token that is redeemed at once needs far less."""
MAX_LIFETIME = 86_400
"""Seconds."""


class IssuedToken(Protocol):
    """What a minter returns."""

    @property
    def token(self) -> str: ...

    @property
    def expires_at(self) -> float:
        """Seconds since the epoch."""
        ...


class TokenMinter(Protocol):
    """Signs tokens. A Protocol, because the API server needs nothing else of the token authority."""

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
    ) -> IssuedToken:
        """`ttl` in seconds, `now` in seconds since the epoch."""
        ...


class BoundObjectReference(Model):
    kind: Literal["Pod"]
    name: SubdomainName
    uid: str = ""
    """Empty: that of the Pod which has the name now."""
    api_version: Literal["v1"] = "v1"


class TokenRequestSpec(Model):
    audiences: Annotated[Items[str], Field(min_length=1)]
    bound_object_ref: BoundObjectReference
    expiration_seconds: Annotated[int, Field(ge=MIN_LIFETIME, le=MAX_LIFETIME)] = 3600


class TokenRequestMeta(Model):
    name: SubdomainName | None = None
    namespace: LabelName | None = None


class TokenRequest(Model):
    api_version: Literal["authentication.k8s.io/v1"] = "authentication.k8s.io/v1"
    kind: Literal["TokenRequest"] = "TokenRequest"
    metadata: TokenRequestMeta = TokenRequestMeta()
    spec: TokenRequestSpec
    status: dict[str, str] = Field(default_factory=dict)
    """What a client sends here is ignored."""


class TokenRequests:
    """Checks what a token would be bound to, and has it minted."""

    def __init__(self, store: Store, minter: TokenMinter, now: Callable[[], float]) -> None:
        """`now` gives seconds since the epoch."""
        self._store = store
        self._minter = minter
        self._now = now

    async def create(self, namespace: str, service_account: str, body: Manifest) -> Manifest:
        """The request with its `status` filled in.

        Raises InvalidResource, ObjectNotFound for the ServiceAccount or the Pod, and Failure when the Pod is
        another one of the same name (409) or runs as another ServiceAccount (422).
        """
        wanted = _parsed(body, service_account)
        await self._store.get("ServiceAccount", namespace, service_account)
        bound = wanted.spec.bound_object_ref
        pod_uid = await self._uid_of_pod(namespace, service_account, bound)
        issued = self._minter.mint(
            namespace=namespace,
            service_account=service_account,
            pod_name=bound.name,
            pod_uid=pod_uid,
            audiences=wanted.spec.audiences,
            ttl=float(wanted.spec.expiration_seconds),
            now=self._now(),
        )
        answer = wanted.model_dump(by_alias=True, mode="json", exclude_none=True)
        answer["metadata"] = {"name": service_account, "namespace": namespace}
        answer["status"] = {"token": issued.token, "expirationTimestamp": rfc3339(issued.expires_at)}
        return answer

    async def _uid_of_pod(self, namespace: str, service_account: str, bound: BoundObjectReference) -> str:
        """Raises as `create`."""
        manifest = await self._store.get("Pod", namespace, bound.name)
        if bound.uid not in ("", uid_of(manifest)):
            message = f"spec.boundObjectRef.uid: pod {bound.name} has uid {uid_of(manifest)}, not {bound.uid}"
            raise Failure(HTTPStatus.CONFLICT, message)
        account = Pod.parse(manifest).spec.service_account_name
        if account != service_account:
            message = f"spec.boundObjectRef: pod {bound.name} runs as {account}, not as {service_account}"
            raise Failure(HTTPStatus.UNPROCESSABLE_ENTITY, message)
        return uid_of(manifest)


def _parsed(body: Manifest, service_account: str) -> TokenRequest:
    try:
        return TokenRequest.model_validate(without_nulls(body))
    except ValidationError as exc:
        raise InvalidResource("TokenRequest", service_account, causes_of(exc)) from exc
