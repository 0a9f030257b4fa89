"""gRPC's statuses beside HTTP's (pure)."""

from __future__ import annotations

from typing import Final

HTTP_STATUSES: Final = {
    0: 200,
    1: 499,
    2: 500,
    3: 400,
    4: 504,
    5: 404,
    6: 409,
    7: 403,
    8: 429,
    9: 400,
    10: 409,
    11: 400,
    12: 501,
    13: 500,
    14: 503,
    15: 500,
    16: 401,
}
"""What a request that is no call is answered for a status of gRPC (google.rpc.Code says which)."""
