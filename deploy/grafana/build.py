"""Writes the dashboards' files: `python -m deploy.grafana.build`."""

from collections.abc import Mapping
from pathlib import Path

from deploy.grafana import control_plane, mesh, service, workload
from deploy.grafana.grafana_json import text_of

DASHBOARDS = (mesh.DASHBOARD, service.DASHBOARD, workload.DASHBOARD, control_plane.DASHBOARD)
DIRECTORY = Path(__file__).parent / "dashboards"


def files() -> Mapping[Path, str]:
    """What the files must hold."""
    return {DIRECTORY / f"{dashboard.uid}.json": text_of(dashboard) for dashboard in DASHBOARDS}


def main() -> None:
    """Entry point."""
    for path, text in files().items():
        path.write_text(text)


if __name__ == "__main__":
    main()
