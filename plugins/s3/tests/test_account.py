"""Whose credentials sign, for which region, and where requests go: as AWS's own tools decide it."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from dfly import AccessDenied, UsageError
from dfly.backend import build_options, option_fields
from dfly.seed.options import caller_options
from dfly_s3.account import Account
from dfly_s3.backend import S3Backend
from dfly_s3.settings import S3Settings

CONFIG = """
[default]
region = eu-central-1
endpoint_url = http://profile-default

[profile lab]
region = eu-north-1
services = lab-services
s3 =
  addressing_style = virtual

[services lab-services]
s3 =
  endpoint_url = http://profile-lab
"""
CREDENTIALS = """
[default]
aws_access_key_id = key-default
aws_secret_access_key = secret

[lab]
aws_access_key_id = key-lab
aws_secret_access_key = secret
aws_session_token = token-lab
"""


def settings(env: dict[str, str] | None = None, **given: str) -> S3Settings:
    found: S3Settings = build_options(S3Backend, given, env or {})
    return found


def signer(account: Account, region: str = "us-east-1") -> str:
    """The key, region and token that a request is signed with; "" where it is not."""
    request = httpx.Request("GET", "http://store/models/a", headers={"range": "bytes=0-1"})
    account.sign(request, region)
    scope = request.headers.get("authorization", "").partition("Credential=")[2].partition(",")[0].split("/")
    return " ".join(filter(None, (scope[0], *scope[2:3], request.headers.get("x-amz-security-token"))))


@pytest.fixture
def aws(tmp_path: Path) -> None:
    folder = tmp_path / ".aws"  # HOME is tmp_path
    folder.mkdir()
    (folder / "config").write_text(CONFIG)
    (folder / "credentials").write_text(CREDENTIALS)


def test_keys_that_are_given_come_before_all_others(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-env")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    account = Account(settings(access_key_id="key-given", secret_access_key="s", session_token="t"))
    assert signer(account) == "key-given us-east-1 t"


def test_the_environment_comes_before_the_profile(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert signer(Account(settings())) == "key-default us-east-1"
    monkeypatch.setenv("AWS_PROFILE", "lab")
    assert signer(Account(settings())) == "key-lab us-east-1 token-lab"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-env")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert signer(Account(settings())) == "key-env us-east-1"


def test_a_profile_that_is_given_comes_before_the_environment(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key-env")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert signer(Account(settings(profile="lab"))) == "key-lab us-east-1 token-lab"


def test_nothing_is_signed_where_nothing_is_found_or_wanted(aws: None) -> None:
    assert signer(Account(settings(anonymous="1"))) == ""


def test_without_any_credentials_requests_go_out_unsigned_and_the_places_are_named() -> None:
    account = Account(settings())
    assert signer(account) == ""
    assert account.source == ""
    for place in ("--s3-access-key-id", "AWS_ACCESS_KEY_ID", "'default' in ~/.aws", "instance role (switched off)"):
        assert place in account.looked_at


@pytest.mark.parametrize("given", [{"access_key_id": "k"}, {"secret_access_key": "s"}])
def test_half_a_key_is_a_usage_error(given: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="two parts"):
        Account(settings(**given))


def test_a_session_token_without_its_key_is_a_usage_error(aws: None) -> None:
    with pytest.raises(UsageError, match="belongs to a key"):
        Account(settings(session_token="t"))


def test_a_profile_that_is_not_there_is_a_usage_error(aws: None) -> None:
    with pytest.raises(UsageError, match="nobody"):
        Account(settings(profile="nobody")).region()


def test_half_a_profile_is_no_reason_to_go_on_without_one(aws: None, tmp_path: Path) -> None:
    (tmp_path / ".aws" / "credentials").write_text("[default]\naws_access_key_id = key\n")
    with pytest.raises(AccessDenied, match="cannot be had"):
        signer(Account(settings()))


def test_the_region_is_the_given_one_else_the_profiles(aws: None) -> None:
    assert Account(settings(env={"AWS_REGION": "r-1", "AWS_DEFAULT_REGION": "r-2"})).region() == "r-1"
    assert Account(settings(env={"AWS_DEFAULT_REGION": "r-2"})).region() == "r-2"
    assert Account(settings(profile="lab")).region() == "eu-north-1"
    assert Account(settings()).region() == "eu-central-1"


def test_without_a_profile_the_region_is_us_east_1() -> None:
    assert Account(settings()).region() == "us-east-1"


def test_a_region_that_would_change_the_host_is_refused() -> None:
    with pytest.raises(UsageError):
        Account(settings(region="x.evil.example/")).region()


def test_an_endpoint_is_the_given_one_else_the_environments_else_the_profiles(aws: None) -> None:
    env = {"AWS_ENDPOINT_URL_S3": "http://of-s3", "AWS_ENDPOINT_URL": "http://of-all"}
    assert Account(settings(env=env, endpoint="http://given")).endpoint().name == "http://given"
    assert Account(settings(env=env)).endpoint().name == "http://of-s3"
    assert Account(settings(env={"AWS_ENDPOINT_URL": "http://of-all"})).endpoint().name == "http://of-all"
    assert Account(settings()).endpoint().name == "http://profile-default"
    lab = Account(settings(profile="lab")).endpoint()
    assert lab.url("models", "a", region="r") == "http://models.profile-lab/a"


def test_configured_endpoints_can_be_ignored_but_not_the_one_that_is_given(
    aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = {"AWS_ENDPOINT_URL": "http://of-all", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"}
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert Account(settings(env=env)).endpoint().name == "https://s3.amazonaws.com"
    assert Account(settings(env=env, endpoint="http://given")).endpoint().name == "http://given"


@pytest.mark.parametrize(
    ("region", "host", "name"),
    [
        ("us-east-1", "s3.us-east-1.amazonaws.com", "https://s3.amazonaws.com"),
        ("eu-west-1", "s3.eu-west-1.amazonaws.com", "https://s3.amazonaws.com"),
        ("cn-north-1", "s3.cn-north-1.amazonaws.com.cn", "https://s3.amazonaws.com.cn"),
        ("mars-1", "s3.mars-1.amazonaws.com", "https://s3.amazonaws.com"),
    ],
)
def test_aws_is_at_another_host_in_each_region_and_one_store(region: str, host: str, name: str) -> None:
    endpoint = Account(settings(region=region)).endpoint()
    assert endpoint.url("models", "a", region=region) == f"https://models.{host}/a"
    assert endpoint.name == name


def test_dual_stack_is_asked_for_as_aws_tools_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", "true")
    endpoint = Account(settings(region="eu-west-1")).endpoint()
    assert endpoint.url("models", "a", region="eu-west-1") == "https://models.s3.dualstack.eu-west-1.amazonaws.com/a"


def test_what_the_user_typed_travels_and_what_the_machine_has_does_not() -> None:
    travels = {spec.field for spec in option_fields(S3Backend) if spec.travels}
    assert {"access_key_id", "secret_access_key", "session_token", "region", "endpoint", "anonymous"} <= travels
    assert not {"profile"} & travels
    variables = {name for spec in option_fields(S3Backend) if spec.secret for name in spec.env}
    assert not [name for name in variables if name.startswith("AWS_")]


def test_an_endpoint_that_a_node_chose_never_sees_what_a_seed_peer_signs_with(aws: None) -> None:
    """Neither its profile, nor its environment's keys, nor its own --s3 settings: only keys that came with the endpoint."""
    env = {"DFLY_S3_ACCESS_KEY_ID": "key-own", "DFLY_S3_SECRET_ACCESS_KEY": "secret", "DFLY_S3_PROFILE": "lab"}
    stranger = {"s3-endpoint": ("https://strange.example",)}
    keys = {"s3-access-key-id": ("key-node",), "s3-secret-access-key": ("secret",)}

    def signed(given: dict[str, tuple[str, ...]], own: dict[str, str]) -> str:
        return signer(Account(caller_options(S3Backend, given, own).settings))

    assert signed({}, {}) == "key-default us-east-1"
    assert signed(stranger, {}) == signed(stranger, env) == ""
    assert signed(stranger | {"s3-anonymous": ("",)}, {}) == ""
    assert signed(stranger | keys, env) == "key-node us-east-1"
    assert signed(stranger, {"AWS_ENDPOINT_URL": "https://strange.example"}) == "key-default us-east-1"


def test_half_a_key_from_a_node_is_not_made_whole_by_the_seed_peers(aws: None) -> None:
    given = {"s3-endpoint": ("https://strange.example",), "s3-access-key-id": ("key-node",)}
    settings = caller_options(S3Backend, given, {"DFLY_S3_SECRET_ACCESS_KEY": "own"}).settings
    with pytest.raises(UsageError, match="two parts"):
        Account(settings)


class Metadata:
    """An instance metadata service that is connected to and says nothing: the kernel takes who comes, until we look."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self._listener.setblocking(False)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/"
        self._taken: list[socket.socket] = []

    @property
    def taken(self) -> list[socket.socket]:
        """Every connection so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._taken.append(self._listener.accept()[0])
        return self._taken

    def close(self) -> None:
        for connection in self.taken:
            connection.close()
        self._listener.close()


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[Metadata]:
    service = Metadata()
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "false")
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", service.url)
    yield service
    service.close()


def test_the_instance_role_is_not_asked_for_where_there_are_credentials(aws: None, metadata: Metadata) -> None:
    assert signer(Account(settings())) == "key-default us-east-1"
    assert metadata.taken == []


def test_an_instance_role_that_does_not_answer_is_asked_for_once_and_given_up(metadata: Metadata) -> None:
    account = Account(settings())
    assert signer(account) == signer(account) == ""
    # the token, and then, as nothing was said, the role without a token: one second each
    assert len(metadata.taken) == 2
    assert account.looked_at.endswith("the instance role")
