"""A lab's plan in its directory: written once when it starts, read by each of its processes."""

from lab.lab_file import LabPlan, read_lab_file
from lab.paths import LabPaths
from lab.state import write_json


def write_plan(paths: LabPaths, plan: LabPlan) -> None:
    """Atomically."""
    write_json(paths.plan, plan.to_document())


def read_plan(paths: LabPaths) -> LabPlan:
    """Of a single node when there is none. Raises LabFileError when it is not readable as one."""
    try:
        text = paths.plan.read_text()
    except FileNotFoundError:
        return LabPlan()
    return read_lab_file(text, paths.plan)  # JSON is YAML
