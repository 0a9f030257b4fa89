"""What a pod says of the sidecar itself: a container of the sidecar's name with `image: auto` (pure).

Its fields are laid over those of the template: objects field by field, lists by what Kubernetes tells their
elements apart by, everything else replaced. What would take the sidecar out of its place is refused by name.
"""

from collections.abc import Mapping
from typing import Final

from injector.errors import InjectionError
from injector.manifest import Manifest, objects, section

AUTO_IMAGE: Final = "auto"
_LIST_KEYS: Final = {"env": "name", "volumeMounts": "mountPath", "ports": "containerPort"}
_ALLOWED: Final = frozenset(
    {"name", "image", "resources", "lifecycle", "securityContext", "imagePullPolicy", "restartPolicy"}
    | {"livenessProbe", "readinessProbe", "startupProbe"}
    | {"terminationMessagePath", "terminationMessagePolicy", *_LIST_KEYS}
)
_FIXED_USER: Final = ("runAsUser", "runAsGroup", "runAsNonRoot")


def take_override(spec: Manifest, name: str) -> Manifest | None:
    """Remove the container `name` with image `auto` from `spec`, which is changed in place, and return it."""
    for field in ("initContainers", "containers"):
        for container in objects(spec, field):
            if container.get("name") == name and container.get("image") == AUTO_IMAGE:
                spec[field] = [each for each in objects(spec, field) if each is not container]
                if not spec[field]:
                    del spec[field]
                return container
    return None


def merged(template: Manifest, override: Mapping[str, object], pod: str) -> Manifest:
    """`template` with what `override` says. Raises InjectionError for what it must not say."""
    name = template["name"]
    for field in sorted(override.keys() - _ALLOWED):
        raise InjectionError(
            f"pod {pod}, container {name!r}: {field} is the injector's; remove it. "
            f"What can be set is {', '.join(sorted(_ALLOWED - {'name', 'image', 'restartPolicy'}))}"
        )
    own = section(template, "securityContext")
    for field in _FIXED_USER:
        if section(override, "securityContext").get(field, own.get(field)) != own.get(field):
            raise InjectionError(
                f"pod {pod}, container {name!r}: securityContext.{field} must stay {own.get(field)}, by "
                "which the interception knows the sidecar's own connections; remove it"
            )
    said = {
        field: value for field, value in override.items() if field not in ("name", "image", "restartPolicy")
    }
    return _laid_over(template, said)


def _laid_over(below: Mapping[str, object], above: Mapping[str, object]) -> Manifest:
    result = dict(below)
    for field, value in above.items():
        old = result.get(field)
        if field in _LIST_KEYS and isinstance(value, list) and isinstance(old, list):
            result[field] = _by_key(old, value, _LIST_KEYS[field])
        elif isinstance(value, dict) and isinstance(old, dict) and not field.endswith("Probe"):
            result[field] = _laid_over(old, value)
        else:
            result[field] = value
    return result


def _by_key(below: list[object], above: list[object], key: str) -> list[object]:
    """An element of the same key is replaced where it stands, others are added behind."""
    found = {each.get(key): each for each in above if isinstance(each, dict)}
    kept = [found.pop(_key(each, key), each) for each in below]
    return [*kept, *found.values()]


def _key(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None
