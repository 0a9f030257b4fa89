"""What the injector refuses."""


class InjectionError(Exception):
    """A pod asked for a sidecar in a way that cannot work. The message names pod, field, value and mend."""
