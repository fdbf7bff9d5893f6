"""Who may have what: the origin decides, and the seed peer remembers whom it let in."""

from dfly.errors import AccessDenied, OriginUnavailable

from .files import MIB, some_bytes, tree

FILES = {"big.bin": some_bytes(2 * MIB), "a.json": b"a", "b.json": b"b"}
TOKEN = {"memory": {"token": "right"}}


def test_a_node_is_served_while_the_origin_is_away_where_its_token_is_known(origin, swarm):
    memory = origin(FILES, token="right")
    cluster = swarm(memory)
    cluster.node("memory://model", options=TOKEN).done()
    memory.away = True
    node = cluster.node("memory://model", options=TOKEN)
    node.done()
    assert tree(node.output) == FILES
    assert memory.asked["list"] == 2  # the branch was asked for again, in vain


def test_a_token_that_the_origin_has_not_seen_gets_nothing_while_the_origin_is_away(origin, swarm):
    memory = origin(FILES, token="right")
    cluster = swarm(memory)
    cluster.node("memory://model", options=TOKEN).done()
    memory.away = True
    node = cluster.node("memory://model", options={"memory": {"token": "unknown"}}, joining={"back_to_source": False})
    assert isinstance(node.error(), OriginUnavailable)
    assert not node.output.exists()


def test_a_private_repository_is_refused_to_who_has_no_token(origin, swarm):
    memory = origin(FILES, token="right")
    cluster = swarm(memory)
    cluster.node("memory://model", options=TOKEN).done()
    for options in ({}, {"memory": {"token": "wrong"}}):
        node = cluster.node("memory://model", options=options)
        error = node.error()
        assert isinstance(error, AccessDenied)
        assert error.exit_code == 5
        assert error.hint == "give --memory-token"
        assert not node.output.exists()


def test_a_gated_model_asks_every_node_for_its_own_token(hub, swarm):
    hub.repo("owner/gated", {"model.safetensors": some_bytes(2 * MIB), "config.json": b"{}"}, gated=True)
    hub.token("good", grants=["owner/gated"])
    cluster = swarm()
    let_in = cluster.node("hf://owner/gated", options={"hf": {"token": "good"}})
    let_in.done()
    refused = cluster.node("hf://owner/gated").error()
    assert isinstance(refused, AccessDenied)
    assert hub.records.leaks() == []
