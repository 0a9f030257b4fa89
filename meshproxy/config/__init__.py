"""What the proxy is told to do, as frozen values: no I/O, no protobuf, no clock."""
