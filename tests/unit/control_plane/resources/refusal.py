"""How the tests of the models read: YAML in, refused fields out."""

import yaml

from control_plane.resources.invalid import InvalidResource
from control_plane.resources.manifest import Manifest
from control_plane.resources.registry import parse


def manifest(text: str) -> Manifest:
    loaded = yaml.safe_load(text)
    assert isinstance(loaded, dict)
    return loaded


def causes(wanted: Manifest) -> dict[str, str]:
    """Field → message; empty when the object is accepted."""
    try:
        parse(wanted)
    except InvalidResource as exc:
        return {cause.field: cause.message for cause in exc.causes}
    return {}


def with_spec(wanted: Manifest, **changes: object) -> Manifest:
    """A copy with fields of `spec` set; None removes one."""
    spec = wanted["spec"]
    assert isinstance(spec, dict)
    return {**wanted, "spec": {**spec, **changes}}
