"""A host that opens connections without end is shut out, and the session goes on."""

import socket
from collections.abc import Callable
from pathlib import Path

from tests.swarm.conftest import Node, blob_of, nodes

from dfly.layout import Layout
from dfly.swarm import Flooded

__all__ = ["nodes"]


def test_a_flood_of_connections_is_bounded_and_the_session_goes_on(nodes: Callable[..., Node]) -> None:
    blob = blob_of(5 * Layout(1).segment_length)
    holder, node = nodes(), nodes()
    node.swarm.allow(["127.0.0.30"])
    holder.hold(blob)
    node.add(blob, 0)
    held = []
    try:
        while not any(isinstance(event, Flooded) for event in node.drain()):
            held.append(socket.create_connection(node.address, source_address=("127.0.0.30", 0)))
            assert len(held) < 5000
        assert node.wait_kind(Flooded).host == "127.0.0.30"
        assert not node.swarm.admits("127.0.0.30")
        for index in range(blob.layout.segments):
            holder.add(blob, index, have=True, peers=[node.address])
            if index:
                node.add(blob, index, peers=[holder.address])
        for index in range(blob.layout.segments):
            node.wait_segment(blob, index)
        assert Path(node.path).read_bytes() == blob.data
    finally:
        for connection in held:
            connection.close()
