"""The two clients share their connections, verify TLS, and reject what they cannot use before the first request."""

import pytest
from tests.origin.conftest import CERTIFICATE, CONTENT

from dfly.config import Network, Patience
from dfly.errors import UsageError
from dfly.origin.client import open_clients, tls_context
from dfly.origin.pauses import Pauses


def test_both_clients_use_the_same_connection(hub):
    hub.add("m", CONTENT)
    with open_clients(Network(), patience=Patience(), pauses=Pauses()) as clients:
        ports = {
            client.get(hub.url_of("m")).extensions["network_stream"].get_extra_info("client_addr")
            for client in (clients.api, clients.data)
        }
    assert len(ports) == 1


def test_a_closed_pair_is_closed(hub):
    clients = open_clients(Network(), patience=Patience(), pauses=Pauses())
    clients.close()
    clients.close()
    assert clients.api.is_closed
    assert clients.data.is_closed


@pytest.mark.parametrize(
    "network",
    [Network(ca_file="/nowhere.pem"), Network(ca_file=__file__), Network(cert="/nowhere.pem"), Network(cert=__file__)],
)
def test_an_unusable_certificate_is_a_usage_error(network):
    with pytest.raises(UsageError, match="cannot be used"):
        tls_context(network)


@pytest.mark.parametrize("what", ["missing", "no certificate"])
def test_unusable_authorities_in_the_environment_are_a_usage_error_that_names_them(monkeypatch, tmp_path, what):
    path = tmp_path / "authorities.pem"
    if what != "missing":
        path.write_text("none\n")
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    with pytest.raises(UsageError, match=r"SSL_CERT_FILE=.*authorities\.pem cannot be used"):
        tls_context(Network())


def test_a_client_certificate_is_taken():
    tls_context(Network(cert=str(CERTIFICATE), key=str(CERTIFICATE)))


def test_certificates_are_always_verified():
    import ssl

    context = tls_context(Network(ca_file=str(CERTIFICATE)))
    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert context.cert_store_stats()["x509_ca"] > 50
