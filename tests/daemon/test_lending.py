"""dfget with a daemon does what it does without one, and the second time takes nothing from the hub."""

from tests.daemon.conftest import FILES, tree


def test_files_arrive_as_without_a_daemon(start, fetch, here, hub):
    start()
    report = fetch("memory://tiny", "out", recursive=True)
    assert tree(here / "out") == FILES
    size = sum(map(len, set(FILES.values())))
    assert hub.bytes == size
    assert report.sources == {"hub": size}
    assert (report.files, report.skipped, report.bytes) == (5, 0, sum(map(len, FILES.values())))


def test_a_second_output_costs_the_hub_nothing(start, fetch, here, hub):
    start()
    fetch("memory://tiny", "out", recursive=True)
    hub.clear()
    report = fetch("memory://tiny", "again", recursive=True)
    assert tree(here / "again") == FILES
    assert hub.bytes == 0
    assert report.sources == {"cache": sum(map(len, set(FILES.values())))}
