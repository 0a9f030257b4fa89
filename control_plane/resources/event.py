"""core/v1 Event (pure): what happened to an object, told once and counted."""

from typing import Literal

from pydantic import Field

from control_plane.resources.base import Model, Resource
from control_plane.resources.field import Count


class ObjectReference(Model):
    """What an Event is about."""

    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""
    field_path: str = ""
    """Part of it, such as `spec.containers{app}`."""


class EventSource(Model):
    component: str = ""
    host: str = ""


class EventSeries(Model):
    count: Count = 0
    last_observed_time: str = ""


class Event(Resource):
    """What happened to an object, told by a controller or a kubelet."""

    API_VERSION = "v1"
    KIND = "Event"

    api_version: Literal["v1"]
    kind: Literal["Event"]
    involved_object: ObjectReference
    reason: str = Field(default="", max_length=128)
    message: str = ""
    type: str = ""
    """`Normal` or `Warning`."""
    source: EventSource = EventSource()
    count: Count = 0
    first_timestamp: str = ""
    """RFC 3339, UTC."""
    last_timestamp: str = ""
    event_time: str = ""
    series: EventSeries | None = None
    action: str = ""
    related: ObjectReference | None = None
    reporting_component: str = ""
    reporting_instance: str = ""
