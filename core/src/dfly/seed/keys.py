"""Keys of one purpose each, derived from the cluster token, so that all seed peers of a cluster accept each other's seals.

Without a cluster token they are this process's own and die with it.
"""

import hmac
import secrets
from typing import Self

from dfly.backend import Secret


class Keys:
    """Seals short messages. `shared` says whether other seed peers can check them."""

    def __init__(self, secret: bytes, *, shared: bool) -> None:
        self._secret = secret
        self.shared = shared

    @classmethod
    def of(cls, cluster_token: Secret | None) -> Self:
        """The keys of a cluster, or of this process alone."""
        if cluster_token is None:
            return cls(secrets.token_bytes(32), shared=False)
        return cls(hmac.digest(b"dfly keys", cluster_token.reveal().encode(), "sha256"), shared=True)

    def seal(self, purpose: str, *parts: str | bytes) -> bytes:
        """16 bytes that only a holder of the key can make for these parts in this order."""
        message = b""
        for part in (purpose, *parts):
            data = part.encode() if isinstance(part, str) else part
            message += len(data).to_bytes(8, "big") + data
        return hmac.digest(self._secret, message, "sha256")[:16]
