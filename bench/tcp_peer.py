"""One end of the plain TCP baseline, run on each host as a script: sends to its peers and discards what it receives.

Usage: tcp_peer.py ADDRESS PORT START SECONDS PEER…; prints the bytes received in a window of SECONDS from START + 1.
The second before the window lets TCP find its pace. Standard library only, so that it starts at once.
"""

import selectors
import socket
import sys
import time

BLOCK = 1 << 18


def dial(address: str, port: int, until: float) -> socket.socket:
    """A connection to a peer that may not listen yet."""
    while True:
        try:
            return socket.create_connection((address, port), timeout=2)
        except OSError:
            if time.time() > until:
                raise
            time.sleep(0.05)


def main(address: str, port: int, start: float, seconds: float, peers: list[str]) -> None:
    listener = socket.create_server((address, port), backlog=1000)
    listener.setblocking(False)
    outgoing = [dial(peer, port, start) for peer in peers]
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ, "accept")
    begin, end = start + 1, start + 1 + seconds
    block, sink = memoryview(bytes(BLOCK)), bytearray(BLOCK)
    received = 0
    sending = False
    while (now := time.time()) < end:
        if not sending and now >= start:
            sending = True
            for peer in outgoing:
                peer.setblocking(False)
                selector.register(peer, selectors.EVENT_WRITE, "send")
        wake = start if not sending else begin if now < begin else end
        for key, _ in selector.select(max(0.0, wake - now)):
            end_of = key.fileobj
            assert isinstance(end_of, socket.socket)
            if key.data == "accept":
                incoming = end_of.accept()[0]
                incoming.setblocking(False)
                selector.register(incoming, selectors.EVENT_READ, "receive")
                continue
            try:
                if key.data == "send":
                    end_of.send(block)
                elif not (count := end_of.recv_into(sink)):
                    selector.unregister(end_of)
                elif now >= begin:
                    received += count
            except BlockingIOError:
                continue
            except OSError:  # a peer whose window is over
                selector.unregister(end_of)
    print(received, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), sys.argv[5:])
