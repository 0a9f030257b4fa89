"""Where a lab keeps its things: one directory, `/run/meshproxy/<lab>` (pure)."""

import re
from dataclasses import dataclass
from pathlib import Path

LABS = Path("/run/meshproxy")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class LabPaths:
    """The files of one lab."""

    root: Path

    @classmethod
    def of(cls, name: str) -> "LabPaths":
        """Raises ValueError for a name that cannot be a directory's."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"lab name {name!r}: use 1-32 lower-case letters, digits and '-'")
        return cls(LABS / name)

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def control_plane(self) -> Path:
        """The control plane's data directory."""
        return self.root / "control-plane"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def relayed_kubeconfig(self) -> Path:
        """Of an API server that is not the lab's own, for the namespaces to which it is relayed."""
        return self.root / "relayed-kubeconfig"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def pods(self) -> Path:
        """A directory for each pod's volumes and `pod.json`."""
        return self.root / "pods"

    @property
    def plan(self) -> Path:
        """Which nodes there are and how they are joined: a lab file, as JSON."""
        return self.root / "lab.json"

    @property
    def kubelet(self) -> Path:
        """Certificates of the kubelets, and of the API server towards them."""
        return self.root / "kubelet"

    @property
    def state(self) -> Path:
        """Written by the supervisor: its processes and options."""
        return self.root / "state.json"

    def pod(self, namespace: str, name: str, uid: str) -> Path:
        """The directory of one pod."""
        return self.pods / f"{namespace}_{name}_{uid[:8]}"

    def container_logs(self, namespace: str, name: str, uid: str, container: str) -> Path:
        """The directory of a container's logs, as `lab.container_log.ContainerLogs` takes it."""
        return self.pod(namespace, name, uid) / "logs" / container

    def process_log(self, process: str) -> Path:
        """Of the lab's own processes."""
        return self.logs / f"{process}.log"
