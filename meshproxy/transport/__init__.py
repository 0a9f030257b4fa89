"""Sockets, TLS and the choice of what a new connection is [1, 2]. Knows nothing of exchanges or clusters."""
