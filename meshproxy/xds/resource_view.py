"""Accepted resources for people (pure): as JSON-like values, decoded when they are looked into.

A dump is written in slices, so no part of it may cost much: a resource is decoded when the writer reaches
it, and the elements of its repeated fields (the virtual hosts of a route table) each when it reaches them.
Nothing is kept, so a dump of a big mesh never is in memory as a whole. Nothing in it is secret: resources
with keys in them are refused, those of ours only name secrets.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping
from typing import Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

_WELL_KNOWN: Final = "google.protobuf."
"""Messages with a JSON form of their own."""


class MessageView(Mapping[str, object]):
    """A message as its fields by name. Elements of repeated fields are views in turn, converted when read."""

    def __init__(self, message: Message) -> None:
        self._message = message

    def __getitem__(self, key: str) -> object:
        return self._values()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values())

    def __len__(self) -> int:
        return len(self._values())

    def items(self) -> ItemsView[str, object]:
        """Converted once, which field by field would not be."""
        return self._values().items()

    def _values(self) -> dict[str, object]:
        rest, later = type(self._message)(), {}
        for field, value in self._message.ListFields():
            element = field.message_type
            is_list = field.is_repeated and not isinstance(value, Mapping)
            if is_list and element is not None and not element.full_name.startswith(_WELL_KNOWN):
                later[field.name] = [MessageView(item) for item in value]
            elif field.is_repeated:
                getattr(rest, field.name).MergeFrom(value)
            elif element is not None:
                getattr(rest, field.name).CopyFrom(value)
                getattr(rest, field.name).SetInParent()  # also where it is empty
            else:
                setattr(rest, field.name, value)
        return {**MessageToDict(rest, preserving_proto_field_name=True), **later}


class ResourceView(Mapping[str, object]):
    """An accepted resource, from its serialised form."""

    def __init__(self, message_type: type[Message], body: bytes) -> None:
        self._message_type = message_type
        self._body = body

    def __getitem__(self, key: str) -> object:
        return self._decoded()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._decoded())

    def __len__(self) -> int:
        return len(self._decoded())

    def items(self) -> ItemsView[str, object]:
        """Decoded once, which field by field would not be."""
        return self._decoded().items()

    def _decoded(self) -> MessageView:
        return MessageView(self._message_type.FromString(self._body))
