"""The annotation `meshproxy.io/status`: what an injection did, that it be done once and can be undone (pure).

{"labels": {…values before…}, "annotations": {…}, "override": {…the container with image auto…}}
"""

import json
from dataclasses import dataclass, field

from injector.annotations import STATUS_ANNOTATION
from injector.errors import InjectionError
from injector.manifest import Manifest, section, texts


@dataclass(frozen=True, slots=True)
class InjectionStatus:
    """What to put back."""

    labels: dict[str, str | None] = field(default_factory=dict)
    """Labels that were set → their values before; None was not there."""
    annotations: dict[str, str | None] = field(default_factory=dict)
    override: Manifest | None = None
    """The container that the pod had for the sidecar; None had none."""
    override_field: str = "containers"
    """Where it stood."""

    def to_text(self) -> str:
        """The annotation's value."""
        said: Manifest = {"labels": self.labels, "annotations": self.annotations}
        if self.override is not None:
            said["override"] = {"field": self.override_field, "container": self.override}
        return json.dumps(said, separators=(",", ":"), sort_keys=True)


def is_injected(pod: Manifest) -> bool:
    """Whether an injector has been here."""
    return STATUS_ANNOTATION in texts(section(pod, "metadata"), "annotations")


def read_status(pod: Manifest) -> InjectionStatus:
    """Raises InjectionError when the annotation was written by somebody else."""
    text = texts(section(pod, "metadata"), "annotations").get(STATUS_ANNOTATION, "")
    try:
        said = json.loads(text)
        override = said.get("override") or {"container": None, "field": "containers"}
        return InjectionStatus(said["labels"], said["annotations"], override["container"], override["field"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InjectionError(
            f"annotation {STATUS_ANNOTATION} is not one of ours: {text[:80]!r}; take the sidecar out by hand"
        ) from error
