from control_plane.api.envoy.config.route.v3 import route_components_pb2 as _route_components_pb2
from control_plane.api.envoy.extensions.filters.common.fault.v3 import fault_pb2 as _fault_pb2
from control_plane.api.envoy.type.v3 import percent_pb2 as _percent_pb2
from google.protobuf import wrappers_pb2 as _wrappers_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FaultAbort(_message.Message):
    __slots__ = ("http_status", "grpc_status", "header_abort", "percentage")
    class HeaderAbort(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    HTTP_STATUS_FIELD_NUMBER: _ClassVar[int]
    GRPC_STATUS_FIELD_NUMBER: _ClassVar[int]
    HEADER_ABORT_FIELD_NUMBER: _ClassVar[int]
    PERCENTAGE_FIELD_NUMBER: _ClassVar[int]
    http_status: int
    grpc_status: int
    header_abort: FaultAbort.HeaderAbort
    percentage: _percent_pb2.FractionalPercent
    def __init__(self, http_status: _Optional[int] = ..., grpc_status: _Optional[int] = ..., header_abort: _Optional[_Union[FaultAbort.HeaderAbort, _Mapping]] = ..., percentage: _Optional[_Union[_percent_pb2.FractionalPercent, _Mapping]] = ...) -> None: ...

class HTTPFault(_message.Message):
    __slots__ = ("delay", "abort", "headers", "max_active_faults")
    DELAY_FIELD_NUMBER: _ClassVar[int]
    ABORT_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    MAX_ACTIVE_FAULTS_FIELD_NUMBER: _ClassVar[int]
    delay: _fault_pb2.FaultDelay
    abort: FaultAbort
    headers: _containers.RepeatedCompositeFieldContainer[_route_components_pb2.HeaderMatcher]
    max_active_faults: _wrappers_pb2.UInt32Value
    def __init__(self, delay: _Optional[_Union[_fault_pb2.FaultDelay, _Mapping]] = ..., abort: _Optional[_Union[FaultAbort, _Mapping]] = ..., headers: _Optional[_Iterable[_Union[_route_components_pb2.HeaderMatcher, _Mapping]]] = ..., max_active_faults: _Optional[_Union[_wrappers_pb2.UInt32Value, _Mapping]] = ...) -> None: ...
