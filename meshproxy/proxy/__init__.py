"""The machines that join a downstream to an upstream: one per HTTP exchange, one per TCP connection."""
