"""What a stream writes to: it holds back for who does not read, and not for ever."""

import contextlib
import socket
from collections import Counter

from dfly.seed.sending import StreamOutlet
from dfly.seed.stream import chunk


class Transport:
    """The part of a transport that matters here, over one end of a real connection."""

    def __init__(self, end):
        self.end, self.unsent, self.aborted = end, b"", False

    def get_write_buffer_size(self):
        return len(self.unsent)

    def is_closing(self):
        return self.aborted

    def write(self, data):
        self.unsent += data
        with contextlib.suppress(BlockingIOError):
            self.unsent = self.unsent[self.end.send(self.unsent) :]

    def abort(self):
        self.aborted = True


def fill(outlet):
    while outlet.takes():
        outlet.write(chunk(bytes(1 << 20)))


def test_who_does_not_read_is_sent_no_more_and_is_cut_off_when_patience_is_over():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        transport, egress = Transport(ours), Counter()
        patient = StreamOutlet(transport, egress, patience=60)
        fill(patient)
        assert not patient.takes()
        assert not transport.aborted
        assert egress["control"] > len(transport.unsent) > 0
        assert not StreamOutlet(transport, egress, patience=-1).takes()
        assert transport.aborted


def test_who_reads_again_is_sent_more():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        transport = Transport(ours)
        outlet = StreamOutlet(transport, Counter(), patience=60)
        fill(outlet)
        while transport.unsent:
            theirs.recv(1 << 20)
            transport.write(b"")
        assert outlet.takes()


def test_nothing_is_written_to_who_has_gone():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        egress = Counter()
        outlet = StreamOutlet(Transport(ours), egress, patience=60)
        outlet.abort()
        outlet.write(chunk(b"late"))
        assert egress["control"] == 0
