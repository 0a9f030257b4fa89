"""FaultPolicy as Envoy's fault filter (pure): an idle filter in the listener, the fault on the route."""

from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage

from control_plane.api.envoy.extensions.filters.common.fault.v3.fault_pb2 import FaultDelay
from control_plane.api.envoy.extensions.filters.http.fault.v3.fault_pb2 import FaultAbort, HTTPFault
from control_plane.resources.fault_policy import FaultPolicySpec
from control_plane.translate.amount import duration, fraction
from control_plane.translate.tls import packed
from control_plane.translate.traffic_policy import header_matcher

FAULT_FILTER: Final = "envoy.filters.http.fault"


def fault_config(spec: FaultPolicySpec) -> AnyMessage:
    """`typed_per_filter_config` of a route or virtual host for FAULT_FILTER."""
    built = HTTPFault(headers=[header_matcher(match) for match in spec.headers])
    if spec.delay is not None:
        built.delay.CopyFrom(
            FaultDelay(fixed_delay=duration(spec.delay.fixed), percentage=fraction(spec.delay.percent))
        )
    if spec.abort is not None:
        share = fraction(spec.abort.percent)
        if spec.abort.grpc_status is not None:
            built.abort.CopyFrom(FaultAbort(grpc_status=spec.abort.grpc_status, percentage=share))
        else:
            built.abort.CopyFrom(FaultAbort(http_status=spec.abort.http_status, percentage=share))
    return packed(built)
