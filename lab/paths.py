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
    def state(self) -> Path:
        """Written by the supervisor: its processes and options."""
        return self.root / "state.json"

    def container_log(self, namespace: str, pod: str, container: str) -> Path:
        return self.logs / f"{namespace}_{pod}_{container}.log"

    def process_log(self, process: str) -> Path:
        """Of the lab's own processes."""
        return self.logs / f"{process}.log"
