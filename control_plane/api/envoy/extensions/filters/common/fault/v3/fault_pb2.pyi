import datetime

from control_plane.api.envoy.type.v3 import percent_pb2 as _percent_pb2
from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FaultDelay(_message.Message):
    __slots__ = ("fixed_delay", "header_delay", "percentage")
    class HeaderDelay(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    FIXED_DELAY_FIELD_NUMBER: _ClassVar[int]
    HEADER_DELAY_FIELD_NUMBER: _ClassVar[int]
    PERCENTAGE_FIELD_NUMBER: _ClassVar[int]
    fixed_delay: _duration_pb2.Duration
    header_delay: FaultDelay.HeaderDelay
    percentage: _percent_pb2.FractionalPercent
    def __init__(self, fixed_delay: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., header_delay: _Optional[_Union[FaultDelay.HeaderDelay, _Mapping]] = ..., percentage: _Optional[_Union[_percent_pb2.FractionalPercent, _Mapping]] = ...) -> None: ...
