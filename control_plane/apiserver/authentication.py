"""Who may call: bearers of the administrator's token. Without it the answer is 401, before a body is read."""

import hmac
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from control_plane.apiserver.failure import Failure

PUBLIC_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version"})
"""What Kubernetes also shows to everybody: nothing of the mesh's state."""


class BearerAuthentication:
    """ASGI middleware in front of the whole application."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        """Raises ValueError for an empty token, which would let everybody in."""
        if not token:
            raise ValueError("the administrator's token must not be empty")
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PUBLIC_PATHS or self._is_known(scope):
            await self._app(scope, receive, send)
            return
        failure = Failure(
            HTTPStatus.UNAUTHORIZED, "a bearer token is required: it is missing or not the right one"
        )
        response = JSONResponse(failure.body(), failure.status, headers={"WWW-Authenticate": "Bearer"})
        await response(scope, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        given = Headers(scope=scope).get("authorization", "").encode("latin-1")
        # Constant time: how long a wrong token takes must not tell how much of it is right.
        return hmac.compare_digest(given, self._expected)
