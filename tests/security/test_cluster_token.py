"""The cluster token: on every route but health, compared in constant time."""

import hmac
import re

import pytest
from tests.security.conftest import CANARY

from dfly.backend import Secret

#: Metrics name nobody and nothing, and are for this machine; tests/observe shows that others need the token.
OPEN = {"/healthz", "/readyz", "/metrics"}
#: Its path carries a pass, and its refusals are a tracker's: 200, with a reason.
A_TRACKER = "/announce/{pass}"
#: Their paths carry a grant or a pass, which is bound to a task and a time.
WITH_A_GRANT = {"/v1/blobs/{grant}/{blob}", "/v1/files/{pass}/{name}"}


@pytest.fixture
def guarded(seed):
    return seed(cluster_token=Secret(CANARY))


def routes(peer):
    for route in peer.app.router.routes():
        assert route.resource is not None
        yield route.method, route.resource.canonical


def test_no_route_is_forgotten(guarded):
    seen = list(routes(guarded))
    assert len(seen) >= 9
    for method, path in seen:
        answer = guarded.client.request(method, re.sub(r"\{\w+\}", "x", path))
        if path == A_TRACKER:
            assert b"failure reason" in answer.content
            continue
        expected = {200} if path in OPEN else {403} if path in WITH_A_GRANT else {401}
        assert answer.status_code in expected, (method, path)


@pytest.mark.parametrize(
    "said", ["", "Bearer", f"Basic {CANARY}", CANARY, f"Bearer {CANARY}x", f"Bearer {CANARY[:-1]}"]
)
def test_only_the_whole_token_opens(guarded, said):
    answer = guarded.client.get("/v1/stats", headers={"Authorization": said})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert CANARY not in answer.text


def test_the_token_opens(guarded):
    assert guarded.client.get("/v1/stats", headers={"Authorization": f"Bearer {CANARY}"}).status_code == 200


def test_the_comparison_takes_the_same_time_for_every_wrong_token(guarded, monkeypatch):
    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr("dfly.seed.access.hmac.compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
    for said in ("", "Bearer a", f"Bearer {CANARY[:-1]}x", f"Basic {CANARY}"):
        guarded.client.get("/v1/stats", headers={"Authorization": said})
    assert len(compared) == 4
    assert {wanted for _, wanted in compared} == {CANARY.encode()}


def test_a_refusal_comes_before_the_body_is_read(guarded):
    answer = guarded.client.post("/v1/snapshots", content=b"{" * (9 << 20))
    assert answer.status_code == 401


def test_no_answer_of_an_open_route_tells_anything(guarded):
    assert guarded.client.get("/healthz").json() == {"ok": True}
    assert guarded.client.get("/readyz").json() == {"ready": True}
