"""The data plane: a sidecar proxy that is configured over xDS v3 and speaks mTLS with SPIFFE identities."""
