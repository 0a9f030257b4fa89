"""The pages for what runs beside the sidecar: the app's probes, asked through us, on port 15020.

The kubelet asks here in plaintext whatever the mesh demands of others; see `local_app.probe` for how it comes
to. Nothing but the probes of this pod can be asked for, and of each only how it went.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from meshproxy.admin.http_server import Handler, HttpRequest, HttpResponse, HttpRoute
from meshproxy.local_app.probe import AppProbe
from meshproxy.local_app.prober import ProbeOutcome

Ask = Callable[[AppProbe], Awaitable[ProbeOutcome]]


def app_health_routes(probes: Mapping[str, AppProbe], ask: Ask) -> dict[str, HttpRoute]:
    """One page for each probe, under the path that the injector gave it."""
    return {
        path: HttpRoute(_unasked, help="a probe of the app", prepare=partial(_asked, ask, probe))
        for path, probe in probes.items()
    }


async def _asked(ask: Ask, probe: AppProbe) -> Handler:
    outcome = await ask(probe)
    # A status alone may forbid a body or a length (1xx, 204, 304), which the kubelet does not care about.
    status = outcome.status if outcome.status not in (204, 205, 304) and outcome.status >= 200 else 200
    body = f"{outcome.reason}\n" if outcome.reason else ""
    return lambda request: HttpResponse(body, status)


def _unasked(request: HttpRequest) -> HttpResponse:
    """Never reached: `prepare` always has an answer."""
    raise RuntimeError(f"{request.path} was answered without asking the app")
