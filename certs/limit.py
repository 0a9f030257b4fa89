"""Sizes that readers of files check before anything else; apart, so that they need no cryptography."""

from typing import Final

MAX_BUNDLE_BYTES: Final = 1024 * 1024
"""The size limit of a Kubernetes ConfigMap, in which a bundle travels."""
