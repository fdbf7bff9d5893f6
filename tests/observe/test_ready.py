"""`/readyz` says whether the process can do its work, and if not, what is amiss."""

import asyncio
import errno
import json
import os

import httpx
import pytest

from dfly.plugins import Plugins
from dfly.seed.peer import SeedPeer
from dfly.seed.settings import SeedPeerConfig
from dfly.seed.watching.readiness import Readiness, try_to_write


def serving(**settings):
    return Readiness(state="serving", **settings)


def failed(readiness):
    return asyncio.run(readiness.failed())


def answered(readiness):
    answer = asyncio.run(readiness.answer(None))
    return answer.status, json.loads(answer.body)


def test_a_process_that_works_says_so(here):
    assert answered(serving(directory=str(here))) == (200, {"ready": True})
    assert os.listdir(here) == []


@pytest.mark.parametrize("state", ["starting", "stopping"])
def test_it_is_not_ready_while_it_starts_and_when_it_stops(tmp_path, state):
    status, said = answered(Readiness(directory=str(tmp_path), state=state))
    assert status == 503
    assert said == {"ready": False, "failed": {"process": f"it is {state}"}}


def test_it_is_not_ready_where_the_data_directory_is_gone(tmp_path):
    status, said = answered(serving(directory=str(tmp_path / "nothing")))
    assert status == 503
    assert said["failed"] == {"data directory": "it cannot be written: No such file or directory"}


@pytest.mark.parametrize(
    ("number", "why"), [(errno.ENOSPC, "No space left on device"), (errno.EROFS, "Read-only file system")]
)
def test_it_is_not_ready_while_the_disk_takes_nothing(tmp_path, number, why):
    def refuses(_):
        raise OSError(number, os.strerror(number))

    assert failed(serving(directory=str(tmp_path), tries=refuses)) == {"data directory": f"it cannot be written: {why}"}


def test_a_disk_that_fills_up_leaves_no_trial_behind(here, monkeypatch):
    def full(fd, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        try_to_write(str(here))
    assert os.listdir(here) == []


def test_what_a_killed_process_left_of_a_trial_does_no_harm(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / ".writable").symlink_to(victim)
    try_to_write(str(tmp_path))
    assert victim.read_text() == "mine"


def test_the_disk_is_asked_at_most_once_a_second_and_heard_again_after_it(tmp_path):
    now, asked = [0.0], []
    readiness = serving(directory=str(tmp_path), tries=asked.append, clock=lambda: now[0])

    async def ask(times):
        return [await readiness.failed() for _ in range(times)]

    asyncio.run(ask(5))
    assert len(asked) == 1
    now[0] = 1.5
    asyncio.run(ask(5))
    assert len(asked) == 2


def test_a_running_seed_peer_notices_that_its_disk_is_gone_and_back(tmp_path):
    from .reading import until

    place, aside = tmp_path / "data", tmp_path / "aside"
    with SeedPeer(SeedPeerConfig(data_dir=str(place), listen=("127.0.0.1", 0)), plugins=Plugins()).running() as url:

        def ready():
            return httpx.get(url + "/readyz", trust_env=False, timeout=60)

        assert ready().status_code == 200
        place.rename(aside)
        said = until(ready, lambda answer: answer.status_code == 503).json()
        assert "data directory" in said["failed"]
        aside.rename(place)
        until(ready, lambda answer: answer.status_code == 200)


def test_a_seed_peer_tells_on_its_metrics_address_that_it_starts(tmp_path):
    """That address answers before the other one does, and after."""
    config = SeedPeerConfig(data_dir=str(tmp_path), listen=("127.0.0.1", 0), metrics_listen=("127.0.0.1", 0))
    peer = SeedPeer(config, plugins=Plugins())
    states = []

    async def look():
        serving = peer.serving()
        entering = asyncio.ensure_future(serving.__aenter__())
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            while not entering.done():
                await asyncio.sleep(0)
                if peer.metrics_url:
                    states.append((await client.get(peer.metrics_url + "/readyz")).json())
            states.append((await client.get(peer.metrics_url + "/readyz")).json())
        await serving.__aexit__(None, None, None)

    asyncio.run(look())
    assert states[-1] == {"ready": True}
    assert all(said in ({"ready": True}, {"ready": False, "failed": {"process": "it is starting"}}) for said in states)
