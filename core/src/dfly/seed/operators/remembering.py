"""Notes every snapshot that somebody was let in to, around whatever resolves it."""

import asyncio

import attrs

from dfly.backend import option_fields
from dfly.plugins import Plugins
from dfly.seed.catalog import Resolver, Selected
from dfly.seed.operators.remembered import Memory
from dfly.seed.options import Given
from dfly.values import bare_url
from dfly.wire import Ask


@attrs.frozen(kw_only=True)
class Remembering:
    """A Resolver: the answers of `resolver`, each remembered in `memory`."""

    resolver: Resolver
    memory: Memory
    plugins: Plugins

    async def resolve(self, ask: Ask, given: Given) -> Selected:
        """See `Resolver`."""
        selected = await self.resolver.resolve(ask, given)
        # in a thread: it writes a file
        await asyncio.to_thread(self._note, ask, given, selected)
        return selected

    def _note(self, ask: Ask, given: Given, selected: Selected) -> None:
        fields = option_fields(self.plugins.backend_for(ask.url)) if given else ()
        plain = {f.removeprefix("--").lower() for x in fields if not x.secret for f in (x.flag, *x.flags)}
        chooses = {f.removeprefix("--").lower() for x in fields if x.chooses for f in (x.flag, *x.flags)}
        self.memory.note(
            task=selected.task,
            ask=ask,
            snapshot=selected.snapshot,
            options={n: values for n, values in given.items() if n in plain and all(bare_url(v) == v for v in values)},
            alone=chooses.isdisjoint(given),
        )
