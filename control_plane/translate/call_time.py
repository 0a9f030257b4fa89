"""How long streams to servers of HTTP/2 may last (pure)."""

from google.protobuf.duration_pb2 import Duration

from control_plane.api.envoy.config.route.v3 import route_components_pb2 as components

_NO_LIMIT = Duration()


def heed_calls(action: components.RouteAction) -> None:
    """A call is given as long as its `grpc-timeout` says."""
    action.max_stream_duration.grpc_timeout_header_max.CopyFrom(_NO_LIMIT)


def bound_streams(action: components.RouteAction) -> None:
    """For stock Envoy, which does not look at `timeout` where there is a `max_stream_duration`: there the
    timeout becomes the longest that a stream may last and a call may ask for."""
    if not action.HasField("max_stream_duration"):
        return
    limit = action.max_stream_duration
    limit.grpc_timeout_header_max.CopyFrom(action.timeout)
    if action.timeout != _NO_LIMIT:
        limit.max_stream_duration.CopyFrom(action.timeout)
    else:
        limit.ClearField("max_stream_duration")
