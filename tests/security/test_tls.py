"""TLS: verified by every part that speaks it, libtorrent included."""

import re
import ssl
from pathlib import Path
from queue import SimpleQueue

import httpx
import pytest
import trustme
from tests.security.conftest import CANARY, FILES

import dfly
from dfly.backend import Secret
from dfly.config import Network
from dfly.errors import SwarmError
from dfly.layout import Layout
from dfly.origin.client import authorities
from dfly.swarm import PeerDisconnected, Swarm, SwarmSettings, WebSeedFailed

SOURCES = Path(dfly.__file__).parent


def files_in(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def test_a_model_comes_over_tls_from_a_seed_peer_with_a_private_authority(seed, get, authority, tmp_path):
    peer = seed(tls_cert=authority.server, verify=ssl.create_default_context(cafile=authority.ca))
    report = get("memory://tiny", peer.url, peer.backend, network=Network(ca_file=authority.ca))
    assert files_in(tmp_path / "out") == FILES
    assert set(report.sources) == {"seed-peer"}


def test_a_seed_peer_that_nobody_vouches_for_gets_neither_a_token_nor_a_request(seed, get, authority, tmp_path):
    peer = seed(tls_cert=authority.server, cluster_token=Secret(CANARY), verify=False)
    with pytest.raises(SwarmError, match="certificate verify failed"):
        get("memory://tiny", peer.url, peer.backend, cluster_token=CANARY)
    assert not (tmp_path / "out").exists()
    stats = peer.client.get("/v1/stats", headers={"Authorization": f"Bearer {CANARY}"}).json()
    assert stats["tasks"] == []


def test_a_certificate_for_another_name_is_refused(seed, get, tmp_path):
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    ca.issue_cert("10.0.0.1", "seed.example").private_key_and_cert_chain_pem.write_to_path(tmp_path / "other.pem")
    peer = seed(tls_cert=str(tmp_path / "other.pem"), verify=False)
    with pytest.raises(SwarmError, match=r"IP address mismatch"):
        get("memory://tiny", peer.url, peer.backend, network=Network(ca_file=str(tmp_path / "ca.pem")))


def test_a_plain_text_request_to_the_tls_port_gets_nothing(seed, authority):
    peer = seed(tls_cert=authority.server, verify=False)
    with pytest.raises(httpx.TransportError):
        httpx.get(peer.url.replace("https:", "http:") + "/healthz", trust_env=False)


@pytest.mark.parametrize("known", [False, True])
def test_libtorrent_verifies_the_web_seed_by_itself(seed, authority, tmp_path, known):
    """The grant is none, so whoever gets through TLS is refused."""
    peer = seed(tls_cert=authority.server, verify=False)
    heard: SimpleQueue = SimpleQueue()
    trusted = authorities(Network(ca_file=authority.ca)) if known else authorities(Network())
    settings = SwarmSettings(interfaces=("127.0.0.1",), authorities=trusted)
    with Swarm(settings, on_event=heard.put) as swarm:
        swarm.add_segment(
            "sha256-00", Layout(100), 0, bytes(20), path=str(tmp_path / "x"), web_seeds=[f"{peer.url}/v1/blobs/none/x"]
        )
        while not isinstance(told := heard.get(timeout=30), WebSeedFailed | PeerDisconnected):
            pass
    assert ("certificate verify failed" in told.reason) is not known
    assert isinstance(told, WebSeedFailed) is known


def test_no_code_switches_verification_off():
    off = re.compile(
        r"verify\s*=\s*False|CERT_NONE|check_hostname\s*=\s*False|_create_unverified|validate_https_trackers"
    )
    for folder in (SOURCES, *SOURCES.parents[2].glob("../plugins/*/src")):
        for path in folder.rglob("*.py"):
            assert not off.search(path.read_text()), path
