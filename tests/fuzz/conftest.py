"""Nothing that is fuzzed gets out of this machine, whatever it was told to dial."""

import ipaddress
import socket

import pytest


class Away(OSError):
    """Something would have left this machine."""


@pytest.fixture(autouse=True, scope="module")
def _stays_here():
    """Sockets connect to loopback only, and no name is looked up."""
    patch = pytest.MonkeyPatch()
    connect, connect_ex, resolve = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check(address):
        if isinstance(address, tuple) and not _is_here(address[0]):
            raise Away(f"a test does not leave this machine for {address[0]!r}")

    def guarded(real):
        def call(self, address):
            check(address)
            return real(self, address)

        return call

    def getaddrinfo(host, *args, **more):
        if not _is_here(host):
            raise socket.gaierror(socket.EAI_NONAME, "no name is looked up here")
        return resolve(host, *args, **more)

    patch.setattr(socket.socket, "connect", guarded(connect))
    patch.setattr(socket.socket, "connect_ex", guarded(connect_ex))
    patch.setattr(socket, "getaddrinfo", getaddrinfo)
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    yield
    patch.undo()


def _is_here(host):
    try:
        return host in (None, "localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
