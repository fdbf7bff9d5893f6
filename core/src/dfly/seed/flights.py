"""The same question asked by many at once is asked once, and answered to all."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Flights(Generic[K, T]):
    """Work under way by key. Whoever stops waiting does not stop the work: others wait for it too."""

    def __init__(self) -> None:
        self._under_way: dict[K, asyncio.Task[T]] = {}

    async def run(self, key: K, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """The result of the flight for `key`, started here unless there is one. Raises what it raises."""
        flight = self._under_way.get(key)
        if flight is None:
            flight = asyncio.create_task(self._fly(key, start))
            # nobody may be left to hear of a failure
            flight.add_done_callback(lambda task: task.cancelled() or task.exception())
            self._under_way[key] = flight
        return await asyncio.shield(flight)

    async def _fly(self, key: K, start: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            return await start()
        finally:
            # before the result is out: who fails to like it and asks again must not get the same one
            del self._under_way[key]

    def close(self) -> None:
        """Give up on everything that is under way."""
        for flight in self._under_way.values():
            flight.cancel()
