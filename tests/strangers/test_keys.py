"""Origins with their own idea of who may read: a signature over each range, two secrets, a client's certificate."""

import base64
import hashlib
import hmac
import math
import ssl
from collections.abc import Iterator

import attrs
import httpx
import pytest
import trustme

import dfly
from dfly.config import Network
from dfly.testing import faults
from dfly.testing.origin import FaultyOrigin

from .conftest import CONTENT, Stranger

KEY, ACCOUNT_TOKEN = "hush-shared-key", "hush-account-token"


def signature(key: str, method: str, path: str, headers) -> str:
    """What a storage account of the SharedKey kind asks for: a MAC over the request with its range."""
    text = "\n".join((method, path, headers.get("range", ""), headers.get("x-date", "")))
    return "SharedKey me:" + base64.b64encode(hmac.digest(key.encode(), text.encode(), hashlib.sha256)).decode()


class SharedKey(httpx.Auth):
    """Signs one request; the core calls it for every range, after `Range` is set."""

    def __init__(self, key: dfly.Secret) -> None:
        self._key = key

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:
        request.headers["X-Date"] = "Thu, 01 Jan 1970 00:00:00 GMT"
        request.headers["Authorization"] = signature(
            self._key.reveal(), request.method, request.url.path, request.headers
        )
        yield request


@attrs.frozen
class AccountKey:
    key: dfly.Secret | None = dfly.option(help="the account's key", secret=True)


class SigningBackend(Stranger):
    schemes = ("account",)
    options = AccountKey

    def locate(self, entry: dfly.Entry) -> dfly.Request:
        return dfly.Request(url=entry.url.replace("account://", "http://"), auth=SharedKey(self.settings.key))


def only_if(origin: FaultyOrigin, allowed) -> str:
    """Serve the file to requests that are `allowed`; its URL."""
    url = origin.add("file", CONTENT)
    origin.fault("file", faults.status(403), times=math.inf, when=lambda seen: not allowed(seen))
    return url


def is_signed(seen: faults.Seen) -> bool:
    return seen.headers.get("authorization") == signature(KEY, seen.method, f"/{seen.path}", seen.headers)


def test_each_range_is_signed_as_it_is_sent(fetch, origin):
    url = only_if(origin, is_signed).replace("http://", "account://")
    assert fetch(SigningBackend, url, key=KEY) == CONTENT
    signed = {(seen.range, seen.headers["authorization"]) for seen in origin.asked("file")}
    assert len(signed) == len({mac for _, mac in signed}) == 3
    assert not [mac for _, mac in signed if mac in fetch.log.text]


def test_a_signature_is_not_carried_to_where_a_redirect_leads(fetch, origin):
    with FaultyOrigin(refuse_credentials=True) as cdn:
        url = origin.redirect("file", cdn.add("file", CONTENT)).replace("http://", "account://")
        assert fetch(SigningBackend, url, key=KEY) == CONTENT
        assert cdn.leaks == []
    assert is_signed(origin.asked("file")[0])


def test_a_wrong_key_is_denied_at_once(fetch, origin):
    url = only_if(origin, is_signed).replace("http://", "account://")
    with pytest.raises(dfly.AccessDenied):
        fetch(SigningBackend, url, key="hush-other-key")
    assert len(origin.asked("file")) <= 3


@attrs.frozen
class TwoSecrets:
    key: dfly.Secret | None = dfly.option(help="the application's key", secret=True)
    account_token: dfly.Secret | None = dfly.option(help="the account's token", secret=True, travels=True)


class TwoDoors(Stranger):
    schemes = ("two-doors",)
    options = TwoSecrets

    def locate(self, entry: dfly.Entry) -> dfly.Request:
        headers = {
            "X-Application": self.settings.key.reveal(),
            "Authorization": f"Bearer {self.settings.account_token.reveal()}",
        }
        return dfly.Request(url=entry.url.replace("two-doors://", "http://"), headers=headers)


def test_two_secrets_go_where_they_belong_and_nowhere_else(fetch, origin):
    def allowed(seen: faults.Seen) -> bool:
        given = seen.headers.get("x-application"), seen.headers.get("authorization")
        return given == (KEY, f"Bearer {ACCOUNT_TOKEN}")

    url = only_if(origin, allowed).replace("http://", "two-doors://")
    assert fetch(TwoDoors, url, key=KEY, account_token=ACCOUNT_TOKEN) == CONTENT
    with pytest.raises(dfly.AccessDenied):
        fetch(TwoDoors, url, key=KEY, account_token="hush-other-token")


class Vault(Stranger):
    """Needs nothing of its own: the user's --cert and --key are in the core's clients."""

    schemes = ("vault",)

    def locate(self, entry: dfly.Entry) -> dfly.Request:
        return dfly.Request(url=entry.url.replace("vault://", "https://"))


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def pem(authority, tmp_path):
    """The files that a user of the vault has: the authority's certificate, one's own, and its key."""
    mine = authority.issue_cert("me@example.org")
    paths = {name: str(tmp_path / f"{name}.pem") for name in ("ca", "cert", "key")}
    authority.cert_pem.write_to_path(paths["ca"])
    mine.private_key_pem.write_to_path(paths["key"])
    for part in mine.cert_chain_pems:
        part.write_to_path(paths["cert"], append=True)
    return paths


@pytest.fixture
def vault(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.configure_trust(context)
    with FaultyOrigin(tls=context) as running:
        running.add("file", CONTENT)
        yield running


def test_a_client_certificate_opens_the_door(fetch, vault, pem):
    url = vault.url_of("file").replace("https://", "vault://")
    network = Network(ca_file=pem["ca"], cert=pem["cert"], key=pem["key"])
    assert fetch(Vault, url, network=network) == CONTENT


def test_without_a_client_certificate_the_door_stays_closed(fetch, vault, pem):
    url = vault.url_of("file").replace("https://", "vault://")
    with pytest.raises(dfly.AccessDenied, match="wants a client certificate") as refused:
        fetch(Vault, url, network=Network(ca_file=pem["ca"]))
    assert "--cert" in refused.value.hint
    assert vault.requests == []


def test_a_certificate_of_an_authority_that_the_vault_does_not_know_is_denied(fetch, vault, pem, tmp_path):
    stranger = trustme.CA().issue_cert("me@example.org").private_key_and_cert_chain_pem
    stranger.write_to_path(str(tmp_path / "stranger.pem"))
    url = vault.url_of("file").replace("https://", "vault://")
    with pytest.raises(dfly.AccessDenied, match="wants a client certificate"):
        fetch(Vault, url, network=Network(ca_file=pem["ca"], cert=str(tmp_path / "stranger.pem")))
