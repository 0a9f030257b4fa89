"""HTTPFault -> its value in the model (pure)."""

from __future__ import annotations

from control_plane.api.envoy.extensions.filters.common.fault.v3 import fault_pb2 as common
from control_plane.api.envoy.extensions.filters.http.fault.v3.fault_pb2 import FaultAbort, HTTPFault
from meshproxy.config import http_filter as model
from meshproxy.policy.grpc_status import HTTP_STATUSES
from meshproxy.routing.value_match import compile_header_match
from meshproxy.xds.filter_fraction import fraction
from meshproxy.xds.route_match import translate_header_match
from meshproxy.xds.strict import require, seconds


def translate_fault(fault: HTTPFault, path: str, place: str) -> model.FaultSettings | None:
    """None for a filter that does nothing. Raises ConfigError."""
    headers = tuple(
        translate_header_match(match, f"{path}.headers[{index}]") for index, match in enumerate(fault.headers)
    )
    for match in headers:
        compile_header_match(match)  # here it can still be refused
    delay = _delay(fault.delay, f"{path}.delay") if fault.HasField("delay") else None
    abort = _abort(fault.abort, f"{path}.abort") if fault.HasField("abort") else None
    if delay is None and abort is None:
        return None
    has_limit = fault.HasField("max_active_faults")
    return model.FaultSettings(delay, abort, headers, fault.max_active_faults.value if has_limit else None)


def _delay(delay: common.FaultDelay, path: str) -> model.FaultDelay:
    kind = delay.WhichOneof("fault_delay_secifier")  # the misspelling is Envoy's
    require(kind is not None, path, "fixed_delay or header_delay is needed")
    share = fraction(delay.percentage, f"{path}.percentage")
    if kind == "header_delay":
        return model.FaultDelay(None, share)
    fixed = seconds(delay.fixed_delay, f"{path}.fixed_delay")
    require(fixed > 0, f"{path}.fixed_delay", "must be above 0")
    return model.FaultDelay(fixed, share)


def _abort(abort: FaultAbort, path: str) -> model.FaultAbort:
    kind = abort.WhichOneof("error_type")
    require(kind is not None, path, "http_status, grpc_status or header_abort is needed")
    share = fraction(abort.percentage, f"{path}.percentage")
    if kind == "header_abort":
        return model.FaultAbort(None, share)
    if kind == "grpc_status":
        code = abort.grpc_status
        require(code in HTTP_STATUSES, f"{path}.grpc_status", f"{code} is no status of gRPC")
        return model.FaultAbort(HTTP_STATUSES[code], share, code)
    status = abort.http_status
    require(200 <= status <= 599, f"{path}.http_status", f"{status} is not from 200 to 599")
    return model.FaultAbort(status, share)
