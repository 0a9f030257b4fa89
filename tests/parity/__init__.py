"""One suite of traffic on two data planes: our sidecar, and stock Envoy with the same control plane."""
