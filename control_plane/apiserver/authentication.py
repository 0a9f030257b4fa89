"""Who may call: bearers of a known token (else 401), each for what its role allows (else 403).

Both are answered before a body is read. Nobody acts as somebody else (`kubectl --as`): a request that asks
for it is refused, as it would be done with the rights of who asks.
"""

from http import HTTPStatus

from starlette.datastructures import Headers, QueryParams
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from control_plane.apiserver.authorization import check, is_for_everybody
from control_plane.apiserver.failure import Failure
from control_plane.apiserver.identity import TokenUsers, User, acting_as
from control_plane.apiserver.request_attributes import Attributes, attributes_of

PUBLIC_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version"})
"""What Kubernetes also shows to everybody: nothing of the mesh's state."""
_SCHEME = b"bearer "
_IMPERSONATION = "impersonate-"
"""How the names of Kubernetes' headers begin that name another user, his groups and the like."""


class BearerAuthentication:
    """ASGI middleware in front of the whole application."""

    def __init__(self, app: ASGIApp, users: TokenUsers) -> None:
        self._app = app
        self._users = users

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in PUBLIC_PATHS:
            await self._app(scope, receive, send)
            return
        try:
            user = self.admitted(scope)
        except Failure as failure:
            is_unknown = failure.status is HTTPStatus.UNAUTHORIZED
            headers = {"WWW-Authenticate": "Bearer"} if is_unknown else {}
            await JSONResponse(failure.body(), failure.status, headers=headers)(scope, receive, send)
            return
        with acting_as(user):
            await self._app(scope, receive, send)

    def admitted(self, scope: Scope) -> User:
        """The user of a request that may be made. Raises Failure (401, 403)."""
        headers = Headers(scope=scope)
        authorization = headers.get("authorization", "").encode("latin-1")
        is_bearer = authorization[: len(_SCHEME)].lower() == _SCHEME
        user = self._users.find(authorization[len(_SCHEME) :].strip()) if is_bearer else None
        if user is None:
            message = "a bearer token is required: it is missing or not the right one"
            raise Failure(HTTPStatus.UNAUTHORIZED, message)
        wanted = _attributes(scope)
        # Discovery is the same for all, and kubectl cannot tell why it is refused.
        if any(name.startswith(_IMPERSONATION) for name in headers) and not is_for_everybody(wanted):
            message = f'User "{user.name}" cannot impersonate anybody: use the kubeconfig of the other role'
            raise Failure(HTTPStatus.FORBIDDEN, message, details={})
        check(user, wanted)
        return user


def _attributes(scope: Scope) -> Attributes:
    query = QueryParams(scope.get("query_string", b""))
    return attributes_of(scope.get("method", "GET"), scope["path"], query)
