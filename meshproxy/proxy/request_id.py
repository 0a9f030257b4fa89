"""Request ids (pure): a random UUID, made at the first hop of the mesh. RFC 9562 section 5.4."""

from random import Random


def new_request_id(rng: Random) -> bytes:
    """36 characters of a version 4 UUID. An identifier, never a secret: a fast generator is right."""
    bits = rng.getrandbits(128)
    text = f"{bits & ~(0xF000 << 64) & ~(0xC000 << 48) | (0x4000 << 64) | (0x8000 << 48):032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}".encode()
