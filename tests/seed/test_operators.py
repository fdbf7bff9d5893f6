"""What names other people's sources, or changes what is kept, is for operators."""

import contextlib

import httpx
import pytest
from aiohttp import web

from dfly.backend import Secret
from dfly.errors import AccessDenied
from dfly.seed.access import Access
from dfly.seed.app import App
from dfly.seed.faces import OPERATOR
from dfly.seed.running import in_thread, listening

CLUSTER, OPERATORS = Secret("cluster"), Secret("operator")
ELSEWHERE = "10.1.2.3"


def may(access: Access, said: str, *, remote: str = ELSEWHERE) -> bool:
    try:
        access.check_token(said)
        access.check_operator(said, remote=remote)
    except AccessDenied:
        return False
    return True


@pytest.mark.parametrize("cluster", [None, CLUSTER], ids=["open", "closed"])
def test_the_operator_token_is_asked_for_where_there_is_one(cluster):
    access = Access(cluster_token=cluster, operator_token=OPERATORS)
    assert may(access, "Bearer operator")
    for said in ("", "Bearer cluster", "Bearer operato", "operator", "Bearer "):
        assert not may(access, said)
        assert not may(access, said, remote="127.0.0.1")


def test_else_the_cluster_token_is_enough():
    access = Access(cluster_token=CLUSTER)
    assert may(access, "Bearer cluster")
    assert not may(access, "")
    assert not may(access, "", remote="::1")


def test_without_any_token_only_this_machine_may():
    assert may(Access(), "", remote="127.0.0.1")
    assert may(Access(), "", remote="::ffff:127.0.0.1")
    assert not may(Access(), "", remote=ELSEWHERE)
    assert not may(Access(), "", remote="")


def test_the_operator_token_opens_what_nodes_may():
    Access(cluster_token=CLUSTER, operator_token=OPERATORS).check_token("Bearer operator")


class _Bell:
    def add_routes(self, router):
        async def ring(_request):
            return web.Response(text="rang")

        router.add_get(OPERATOR + "bell", ring)
        router.add_get("/v1/door", ring)


@contextlib.asynccontextmanager
async def _serving(access):
    app = App(
        access=access, catalog=None, tasks=_NoTasks(), web_seed=_Web(), plugins=None, egress=None, faces=[_Bell()]
    )
    async with listening(app.application(), ("127.0.0.1", 0), tls=None) as url:
        yield url


class _Web:
    async def handle(self, request): ...


class _NoTasks:
    def close_streams(self): ...


def test_every_path_of_operators_is_guarded_whichever_part_brings_it():
    access = Access(cluster_token=CLUSTER, operator_token=OPERATORS)
    with in_thread(lambda: _serving(access), name="seed") as url, httpx.Client(base_url=url, timeout=60) as client:
        node, operator = ({"Authorization": f"Bearer {t.reveal()}"} for t in (CLUSTER, OPERATORS))
        assert client.get("/v1/door", headers=node).text == "rang"
        assert client.get("/v1/operator/bell", headers=operator).text == "rang"
        assert client.get("/v1/operator/bell", headers=node).status_code == 401
        assert client.get("/v1//operator/bell", headers=node).status_code == 404
        assert client.get("/v1/%6fperator/bell", headers=node).status_code == 401
