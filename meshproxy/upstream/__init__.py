"""Clusters, endpoints, pools and connections towards upstreams [6, 7, 8]."""
