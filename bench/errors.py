"""What can go wrong with a measurement."""


class BenchError(Exception):
    """The bench cannot go on; the message says why and what to do."""


class WrongAnswer(BenchError):
    """A side did not do the work it was measured on, so its figures would be worthless."""
