"""The limit that all bodies of a hub on loopback share."""

import asyncio

from dfly.testing.hub import Throttle


def test_all_bodies_together_keep_to_the_rate():
    now, slept = [100.0], []

    async def sleep(seconds):
        slept.append(seconds)
        now[0] += seconds

    async def spend():
        throttle = Throttle(1000.0, clock=lambda: now[0], sleep=sleep)
        for _ in range(3):
            await throttle.spend(500)
        now[0] += 10  # what was not used is lost
        await throttle.spend(250)

    asyncio.run(spend())
    assert slept == [0.5, 0.5, 0.5, 0.25]
