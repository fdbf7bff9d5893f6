"""A stranger's plugin offers the cache of its hub's tools, and the core, which knows nothing of it, fills it."""

import errno
import os
import random

import attrs
import pytest

import dfly
from dfly.cli.caches import refuse_strange
from dfly.cli.dfget import run
from dfly.plugins import Plugins
from dfly.plugins.hearsay import told_backends
from dfly.store.lock import Lock
from dfly.testing.memory import memory_backend
from dfly.testing.swarm import small_swarm

BIG = random.Random(1).randbytes(3 << 20)
FILES = {"config.json": b"{}", "model.bin": BIG, "deep/copy.bin": BIG, "empty": b""}


def arrange(snapshot, order):
    _, _, rest = snapshot.source.partition("://")
    repo, _, at = rest.partition("@")
    revision = at.partition("/")[0]
    return dfly.CachePlan(
        root=f"shelves/{repo}",
        view=f"shelves/{repo}/by-revision/{revision}",
        files=tuple(
            dfly.CachedFile(
                entry=entry,
                blob=f"shelves/{repo}/content/{entry.digest('sha256')}",
                link=f"shelves/{repo}/by-revision/{revision}/{entry.url.partition('@')[2].partition('/')[2]}",
            )
            for entry in snapshot.entries
        ),
        aside=".new",
        refs={f"shelves/{repo}/newest": revision} if "@" not in order.url else {},
    )


LAYOUT = dfly.CacheLayout(
    help="the memory of memory://'s tools", directory=lambda env: env["HOME"] + "/memories", arrange=arrange
)


@pytest.fixture
def plugins():
    backend = memory_backend({"tiny": FILES})
    backend.cache_layout = LAYOUT
    boats = type("Boats", (memory_backend({"boat": FILES}),), {"schemes": ("boat",), "prefix": "boat"})
    return Plugins(extra=[backend, boats])


def seen(cache):
    (view,) = (cache / "shelves/tiny/by-revision").iterdir()
    found = {str(p.relative_to(view)): p.read_bytes() for p in view.rglob("*") if p.is_file()}
    assert (cache / "shelves/tiny/newest").read_text() == view.name
    return found


def test_two_files_of_one_content_are_one_blob_and_both_are_told_of(plugins, tmp_path):
    events = []
    report = dfly.fetch("memory://tiny", recursive=True, cache=tmp_path, plugins=plugins, on_event=events.append)
    assert seen(tmp_path) == FILES
    assert (report.files, report.bytes) == (4, sum(map(len, FILES.values())))
    assert report.sources == {"hub": len(BIG) + 2}
    assert {event.path for event in events if event.name == "file.finished"} == set(FILES)
    again = dfly.fetch("memory://tiny", recursive=True, cache=tmp_path, plugins=plugins)
    assert (again.skipped, again.sources) == (4, {})


def test_through_a_seed_peer(plugins, tmp_path):
    with small_swarm(tmp_path, plugins=plugins) as swarm:
        joining = dfly.config.Joining(seed_peers=(swarm.url,), interface="127.0.0.1", seed_time=0)
        report = dfly.fetch("memory://tiny", recursive=True, cache=tmp_path, plugins=plugins, joining=joining)
    assert seen(tmp_path) == FILES
    assert report.sources.get("hub", 0) == 0
    assert set(os.listdir(tmp_path / "shelves/tiny")) == {"content", "by-revision", "newest"}


def test_a_demanded_digest_holds_in_a_cache_too(plugins, tmp_path):
    with pytest.raises(dfly.IntegrityError):
        dfly.fetch("memory://tiny/config.json", cache=tmp_path, plugins=plugins, digest="0" * 64)
    assert not (tmp_path / "shelves").exists()


def test_the_flag_is_named_after_the_plugin_and_its_folder_may_be_left_out(plugins, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run(["--memory-cache", "memory://tiny", "-r", "--no-daemon"], plugins=plugins) == 0
    assert seen(tmp_path / "memories") == FILES
    named = tmp_path / "named"
    assert run(["memory://tiny", "-r", "--no-daemon", "--memory-cache", str(named)], plugins=plugins) == 0
    assert seen(named) == FILES
    assert run(["memory://tiny", "-r", "--no-daemon", f"--memory-cache={named}"], plugins=plugins) == 0
    capfd.readouterr()
    assert run(["--help"], plugins=plugins) == 0
    assert "--memory-cache [DIR]" in capfd.readouterr().out


def test_a_hub_without_a_cache_says_so(plugins, tmp_path, capfd):
    assert run(["boat://boat", "-r", "--no-daemon", "--memory-cache"], plugins=plugins) == 2
    assert "boat:// has no --memory-cache" in capfd.readouterr().err
    with pytest.raises(dfly.UsageError, match="no cache"):
        dfly.fetch("boat://boat", recursive=True, cache=tmp_path, plugins=plugins)
    with pytest.raises(dfly.UsageError, match="--memory-cache"):
        dfly.fetch("memory://tiny", str(tmp_path), recursive=True, cache=tmp_path, plugins=plugins)


def test_an_option_of_that_name_stays_an_option(tmp_path, capfd):
    @attrs.frozen
    class Options:
        cache = dfly.option(help="how long to keep answers")

    hub = memory_backend({"tiny": FILES})
    hub.options, hub.__init__ = Options, lambda self, settings, tools: None
    calls = []

    def fetch(*urls, **given):
        calls.append(given)
        raise dfly.Cancelled

    run(["memory://tiny", "--memory-cache", "5m"], plugins=Plugins(extra=[hub]), fetch=fetch)
    assert (calls[0]["options"], calls[0]["cache"]) == ({"memory": {"cache": "5m"}}, None)


def test_a_plugin_that_only_a_seed_peer_has_fills_no_cache_here():
    row = {"schemes": ["burrow"], "prefix": "burrow", "options": [], "distribution": "dfly-plugin-burrow"}
    (told,) = told_backends({"plugins": [row]}, taken=(), private=True).values()
    with pytest.raises(dfly.UsageError, match="pip install dfly-plugin-burrow"):
        refuse_strange(["burrow://x", "--burrow-cache="], [told], taken=())


def test_a_lock_that_is_another_users_stops_nobody(plugins, tmp_path, monkeypatch):
    def arranged(snapshot, order):
        plan = arrange(snapshot, order)
        files = [attrs.evolve(kept, lock=f".new/{number}.lock") for number, kept in enumerate(plan.files)]
        return attrs.evolve(plan, files=tuple(files))

    class Locked(Lock):
        def acquire(self, **how):
            if self.path.endswith(".lock") and ".new" in self.path:
                raise PermissionError(errno.EACCES, "Permission denied", self.path)
            super().acquire(**how)

    monkeypatch.setattr("dfly.node.filling.Lock", Locked)
    monkeypatch.setattr(plugins.backend("memory"), "cache_layout", attrs.evolve(LAYOUT, arrange=arranged))
    dfly.fetch("memory://tiny", recursive=True, cache=tmp_path, plugins=plugins)
    assert seen(tmp_path) == FILES
