"""Lifecycle hooks of a container: what `postStart` and `preStop` ask for, done once."""

import asyncio
from pathlib import Path

from control_plane.resources.container import Container
from control_plane.resources.container_probe import LifecycleHandler, Probe
from lab.probe import Execute, run_probe


async def run_hook(
    hook: LifecycleHandler, container: Container, network: Path, pod_ip: str, execute: Execute, limit: float
) -> str:
    """Do what the hook says within `limit` seconds; why it failed, empty when it did not.

    `network`: the namespace file that HTTP hooks are sent from.
    """
    if hook.sleep is not None:
        await asyncio.sleep(min(limit, hook.sleep.seconds))
        return ""
    if hook.exec_ is not None:
        ended = await execute(list(hook.exec_.command), limit)
        return "" if ended.status == 0 else f"command {list(hook.exec_.command)} ended with {ended.status}"
    if hook.http_get is not None:
        asked = Probe(http_get=hook.http_get, timeout_seconds=max(1, int(limit)))
        result = await run_probe(asked, container, network, pod_ip, execute)
        # Any answer is taken: Kubernetes, too, looks at whether the request could be made.
        return "" if result.success or result.message.startswith("HTTP ") else result.message
    return "tcpSocket hooks are not run: Kubernetes has none"
