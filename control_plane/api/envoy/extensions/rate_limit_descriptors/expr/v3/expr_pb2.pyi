from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Descriptor(_message.Message):
    __slots__ = ("descriptor_key", "skip_if_error", "text")
    DESCRIPTOR_KEY_FIELD_NUMBER: _ClassVar[int]
    SKIP_IF_ERROR_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    descriptor_key: str
    skip_if_error: bool
    text: str
    def __init__(self, descriptor_key: _Optional[str] = ..., skip_if_error: _Optional[bool] = ..., text: _Optional[str] = ...) -> None: ...
