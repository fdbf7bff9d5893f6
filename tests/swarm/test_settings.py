"""The session's settings follow the machine."""

import libtorrent as lt
import pytest

from dfly.swarm import SwarmSettings
from dfly.swarm.settings import MIB, session_settings


def pack(**given: object) -> dict[str, object]:
    return session_settings(SwarmSettings(**given), listen_interfaces="127.0.0.1:0")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("nic", "requests", "watermark"),
    [(1_000_000, 32, 128 << 10), (12_500_000, 32, 128 << 10), (125_000_000, 305, MIB), (1_250_000_000, 1000, MIB)],
)
def test_queues_grow_with_the_link_between_bounds(nic: int, requests: int, watermark: int) -> None:
    settings = pack(nic_bytes_per_second=nic)
    assert settings["max_out_request_queue"] == requests
    assert settings["send_buffer_watermark"] == watermark


def test_an_unknown_link_is_taken_for_a_gigabit() -> None:
    queue = "max_out_request_queue"
    assert pack()[queue] == pack(nic_bytes_per_second=125_000_000)[queue]


def test_nothing_is_announced_or_discovered() -> None:
    settings = pack()
    assert not any(
        settings[f"enable_{way}"] for way in ("dht", "lsd", "upnp", "natpmp", "incoming_utp", "outgoing_utp")
    )


def test_every_session_has_a_peer_id_of_its_own() -> None:
    first, second = pack()["peer_fingerprint"], pack()["peer_fingerprint"]
    assert first != second
    assert len(str(first)) == 20  # all of a peer id: libtorrent adds nothing random


def test_what_the_user_set_is_passed_on() -> None:
    settings = pack(upload_limit=5, interfaces=("10.0.0.1", "10.0.0.2"), memory=7)
    assert settings["upload_rate_limit"] == 5
    assert settings["outgoing_interfaces"] == "10.0.0.1,10.0.0.2"
    assert settings["max_queued_disk_bytes"] == 7


@pytest.mark.parametrize("limit", [2**31 - 1, 2**31, 2**32 + 5], ids=["the highest", "one more", "above 32 bits"])
def test_a_limit_above_what_libtorrent_can_hold_does_not_become_none_or_a_tiny_one(limit: int) -> None:
    session = lt.session(pack(upload_limit=limit))
    assert session.get_settings()["upload_rate_limit"] == 2**31 - 1
