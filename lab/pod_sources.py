"""The ConfigMaps and Secrets that a pod's variables and volumes come from (pure)."""

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field

from control_plane.resources.config_map import ConfigMap
from control_plane.resources.pod import Pod

Data = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class PodSources:
    """Those of the pod's namespace that exist, by name."""

    config_maps: Mapping[str, Data] = field(default_factory=dict)
    secrets: Mapping[str, Data] = field(default_factory=dict, repr=False)


def config_map_data(config_map: ConfigMap) -> Data:
    """Its values, as bytes."""
    text = {key: value.encode() for key, value in config_map.data.items()}
    return text | {key: b64decode(value) for key, value in config_map.binary_data.items()}


@dataclass(frozen=True, slots=True)
class NeededSources:
    """Names of what a pod refers to."""

    config_maps: frozenset[str]
    secrets: frozenset[str]


def needed_sources(pod: Pod) -> NeededSources:
    """What the pod's variables and volumes refer to."""
    maps: set[str] = set()
    secrets: set[str] = set()
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        for entry in container.env:
            source = entry.value_from
            if source is not None and source.config_map_key_ref is not None:
                maps.add(source.config_map_key_ref.name)
            if source is not None and source.secret_key_ref is not None:
                secrets.add(source.secret_key_ref.name)
        for bulk in container.env_from:
            if bulk.config_map_ref is not None:
                maps.add(bulk.config_map_ref.name)
            if bulk.secret_ref is not None:
                secrets.add(bulk.secret_ref.name)
    for volume in pod.spec.volumes:
        if volume.config_map is not None:
            maps.add(volume.config_map.name)
        if volume.secret is not None:
            secrets.add(volume.secret.secret_name)
        for part in volume.projected.sources if volume.projected is not None else ():
            if part.config_map is not None:
                maps.add(part.config_map.name)
            if part.secret is not None:
                secrets.add(part.secret.name)
    return NeededSources(frozenset(maps), frozenset(secrets))
