"""Keys of one purpose each, which only seed peers have: with them they believe each other's words from the mouths of nodes.

They derive from the cluster's secret, so that one seed peer goes on where another one fell. Without such a secret they derive
from a random one in the data directory, so that a seed peer that is restarted on its data at least believes itself. Never from
the cluster token, which every node knows.
"""

import contextlib
import hmac
import os
import secrets
import stat
from typing import Self

from dfly.backend import Secret
from dfly.errors import OutputError
from dfly.store.claim import private_directory

_FILE, _LENGTH = "key", 32


class Keys:
    """Seals short messages."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    @classmethod
    def of(cls, cluster_secret: Secret) -> Self:
        """The keys of all seed peers that were given this secret."""
        return cls(hmac.digest(b"dfly keys", cluster_secret.reveal().encode("utf-8", "surrogateescape"), "sha256"))

    @classmethod
    def kept_in(cls, directory: str) -> Self:
        """The keys of whoever runs on this data directory, made the first time.

        Raises OutputError where somebody else could have read or made them.
        """
        path = os.path.join(directory, _FILE)
        private_directory(directory)
        try:
            secret = _read(path) or _make(path)
        except OSError as error:
            raise OutputError.from_os(error, path) from error
        return cls(secret)

    @classmethod
    def passing(cls) -> Self:
        """Keys that die with this process."""
        return cls(secrets.token_bytes(_LENGTH))

    def seal(self, purpose: str, *parts: str | bytes) -> bytes:
        """16 bytes that only a holder of the key can make for these parts in this order."""
        message = b""
        for part in (purpose, *parts):
            data = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
            message += len(data).to_bytes(8, "big") + data
        return hmac.digest(self._secret, message, "sha256")[:16]


def _read(path: str) -> bytes | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    with open(fd, "rb") as file:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_uid != os.geteuid() or info.st_mode & 0o077:
            raise _unfit(path, "others can read or replace it")
        secret = file.read(_LENGTH + 1)
    if len(secret) != _LENGTH:
        raise _unfit(path, "it is damaged")
    return secret


def _make(path: str) -> bytes:
    new = f"{path}.{secrets.token_hex(8)}"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with open(fd, "wb") as file:
            file.write(secrets.token_bytes(_LENGTH))
            file.flush()
            os.fsync(fd)
        # a link, because it never replaces what another process has put there meanwhile
        with contextlib.suppress(FileExistsError):
            os.link(new, path)
    finally:
        os.unlink(new)
    made = _read(path)
    if made is None:
        raise FileNotFoundError(path)
    return made


def _unfit(path: str, why: str) -> OutputError:
    return OutputError(
        f"{path} cannot be used as a key: {why}",
        hint="remove it and a new one is made; what the old one sealed is then asked for again",
    )
