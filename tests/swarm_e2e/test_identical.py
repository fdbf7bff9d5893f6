"""Whatever a repository holds, every node ends with the same bytes, and the hub sends them once."""

from .files import odd_repository, size_of, tree


def test_an_odd_repository_reaches_four_nodes_and_leaves_the_hub_once(hub, swarm):
    files = odd_repository()
    hub.repo("owner/odd", files)
    cluster = swarm()
    nodes = cluster.several(4, "hf://owner/odd")
    for node in nodes:
        report = node.done()
        assert tree(node.output) == files
        assert report.files == len(files)
        assert report.bytes == sum(map(len, files.values()))
        assert report.sources.get("hub", 0) == 0
    assert hub.records.bytes_sent() == size_of(files)
    assert cluster.stats()["hub_bytes"] == size_of(files)
