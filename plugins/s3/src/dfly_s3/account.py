"""Who signs, and where: the one door to botocore. It finds credentials, region and endpoint, and signs; it sends nothing.

botocore is imported when first needed (0.3 s): a help page, or a URL of another scheme, does not pay for it. Credentials
are looked for once, in AWS's own order; the instance role comes last and is given two seconds. Where nothing is found
requests go out unsigned, for public buckets, and a refusal then tells where credentials were looked for.

A signature holds for the host, path, range and minutes it was made for; but a session token goes along as it is. Hence a seed
peer signs nothing with its own credentials for an endpoint that a node has chosen, and a daemon nothing at all with its own
for other users of its machine (`S3Backend.at_strange_endpoint`).
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import httpx

from dfly import AccessDenied, UsageError
from dfly_s3.endpoints import ADDRESSINGS, Endpoint, valid_region
from dfly_s3.settings import S3Settings, is_true

DEFAULT_REGION = "us-east-1"
_SIGNED = frozenset({"host", "range", "if-match"})
_ADDED = ("Authorization", "X-Amz-Date", "X-Amz-Content-SHA256", "X-Amz-Security-Token")


class Account:
    """The credentials, region and endpoint that `settings` and this machine amount to. Thread-safe."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._lock = threading.RLock()
        self._session: Any = None
        self._credentials: Any = None
        self._looked = False
        self.anonymous = is_true(settings.anonymous)
        if settings.addressing not in ADDRESSINGS:
            raise UsageError(
                f"{settings.addressing!r} is no way to address a bucket", hint=f"write one of: {', '.join(ADDRESSINGS)}"
            )
        if (settings.access_key_id is None) != (settings.secret_access_key is None):
            raise UsageError("a key has two parts", hint="give --s3-access-key-id and --s3-secret-access-key")
        if settings.session_token is not None and settings.access_key_id is None:
            # left out silently, it would make this machine's own credentials look like the caller's
            raise UsageError(
                "a session token belongs to a key", hint="give --s3-access-key-id and --s3-secret-access-key with it"
            )

    def region(self) -> str:
        """The region to ask first. Raises UsageError."""
        with _told():
            region: str = self._settings.region or self._config("region") or DEFAULT_REGION
        if not valid_region(region):
            raise UsageError(f"{region!r} is not a region", hint="write us-east-1, for example")
        return region

    def endpoint(self) -> Endpoint:
        """The store. Raises UsageError."""
        addressing = self._settings.addressing
        with _told():
            given = self._settings.endpoint or self._endpoint_of_profile()
            if addressing == "auto":
                style = _section(self._scoped().get("s3")).get("addressing_style", "auto")
                addressing = style if style in ADDRESSINGS else "auto"
        if given:
            return Endpoint.custom(given, addressing=addressing)
        name = f"https://s3.{self._aws_suffix(self.region())}"
        return Endpoint(self._aws_base, name, regional=True, addressing=addressing)

    def sign(self, request: httpx.Request, region: str) -> None:
        """Add the headers that prove who asks, for exactly this request; nothing where nobody does.

        Raises AccessDenied where credentials are configured and cannot be had.
        """
        credentials = self._frozen()
        if credentials is None:
            return
        from botocore.auth import S3SigV4Auth
        from botocore.awsrequest import AWSRequest

        kept = {name: value for name, value in request.headers.items() if name in _SIGNED or name.startswith("x-amz-")}
        url = str(request.url).replace("%2E", ".")
        signed = AWSRequest(method=request.method, url=url, headers=kept, data=request.content)
        S3SigV4Auth(credentials, "s3", region).add_auth(signed)
        for name in _ADDED:
            if name in signed.headers:
                request.headers[name] = signed.headers[name]

    def renew(self, token: str | None) -> bool:
        """Look for credentials again, because those with this session token have run out; whether there are others."""
        if self._settings.access_key_id is not None or self.anonymous:
            return False
        with self._lock:
            if self._token() == token:
                self._session, self._looked = None, False
            return self._token() not in (token, None)

    @property
    def source(self) -> str:
        """Where the credentials come from, for a message; "" where there are none."""
        if self._frozen() is None:
            return ""
        return {
            "explicit": "--s3-access-key-id",
            "env": "AWS_ACCESS_KEY_ID",
            "shared-credentials-file": f"profile {self._profile!r}",
            "config-file": f"profile {self._profile!r}",
            "iam-role": "this machine's instance role",
            "container-role": "this container's role",
        }.get(self._credentials.method, f"{self._credentials.method} of profile {self._profile!r}")

    @property
    def looked_at(self) -> str:
        """Where credentials were looked for, for the message that there are none."""
        disabled = is_true(os.environ.get("AWS_EC2_METADATA_DISABLED"))
        instance = "the instance role (switched off)" if disabled else "the instance role"
        profile = f"profile {self._profile!r} in ~/.aws"
        return f"--s3-access-key-id, AWS_ACCESS_KEY_ID, {profile}, web identity, the container's role, {instance}"

    # What botocore knows

    @property
    def _profile(self) -> str:
        return self._settings.profile or self._config("profile") or "default"

    def _opened(self) -> Any:
        with self._lock:
            if self._session is None:
                import botocore.session

                _keep_secrets_out_of_logs()
                self._session = botocore.session.Session(profile=self._settings.profile)
            return self._session

    def _config(self, name: str) -> Any:
        with self._lock:
            return self._opened().get_config_variable(name)

    def _scoped(self) -> dict[str, Any]:
        with self._lock:
            scoped: dict[str, Any] = self._opened().get_scoped_config()
            return scoped

    def _endpoint_of_profile(self) -> str | None:
        """`endpoint_url` of the profile's services section, else of the profile itself."""
        ignored = self._settings.ignore_endpoints or self._config("ignore_configured_endpoint_urls")
        if is_true(str(ignored or "")):
            return None
        scoped = self._scoped()
        with self._lock:
            services = _section(self._opened().full_config.get("services"))
        of_s3 = _section(_section(services.get(str(scoped.get("services")))).get("s3"))
        found: str | None = of_s3.get("endpoint_url") or scoped.get("endpoint_url")
        return found

    def _aws_base(self, region: str) -> str:
        dual = ".dualstack" if self._config("use_dualstack_endpoint") else ""
        fips = "-fips" if self._config("use_fips_endpoint") else ""
        return f"https://s3{fips}{dual}.{region}.{self._aws_suffix(region)}"

    def _aws_suffix(self, region: str) -> str:
        """Where the part of AWS that has this region is: China and others have names of their own."""
        with self._lock:
            partitions = self._opened().get_data("partitions")["partitions"]
        suffixes = [part["outputs"]["dnsSuffix"] for part in partitions if re.fullmatch(part["regionRegex"], region)]
        return suffixes[0] if suffixes else "amazonaws.com"

    def _frozen(self) -> Any:
        with self._lock, _told():
            if not self._looked:
                self._credentials = self._found()
                self._looked = True
            return self._credentials.get_frozen_credentials() if self._credentials is not None else None

    def _found(self) -> Any:
        if self.anonymous:
            return None
        if self._settings.access_key_id is None:
            return self._opened().get_credentials()
        from botocore.credentials import Credentials

        assert self._settings.secret_access_key is not None
        token = self._settings.session_token
        return Credentials(
            self._settings.access_key_id.reveal(),
            self._settings.secret_access_key.reveal(),
            token.reveal() if token is not None else None,
            method="explicit",
        )

    def _token(self) -> str | None:
        frozen = self._frozen()
        token: str | None = frozen.token if frozen is not None else None
        return token


@attrs.frozen(eq=False, repr=False)
class Signature(httpx.Auth):
    """Signs each request with an account's credentials for one region, after its range and conditions are set."""

    account: Account
    region: str
    requires_request_body = True

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:  # type: ignore[override]
        """Sign and send, once."""
        self.account.sign(request, self.region)
        yield request


class _Mute(logging.Filter):
    """Lets no record through."""

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - the base class's words
        return False


def _keep_secrets_out_of_logs() -> None:
    # at level DEBUG these two write signatures, session tokens, and the keys that a role was given
    for name in ("botocore.auth", "botocore.parsers"):
        logger = logging.getLogger(name)
        if not any(isinstance(old, _Mute) for old in logger.filters):
            logger.addFilter(_Mute())


def _section(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


@contextmanager
def _told() -> Iterator[None]:
    """Raise what botocore cannot do as errors of ours."""
    from botocore.exceptions import BotoCoreError, ClientError, ConfigNotFound, ConfigParseError, ProfileNotFound

    try:
        yield
    except (ProfileNotFound, ConfigNotFound, ConfigParseError) as error:
        raise UsageError(
            f"the AWS configuration cannot be used: {error}", hint="check --s3-profile and ~/.aws"
        ) from error
    except (BotoCoreError, ClientError) as error:
        raise AccessDenied(
            f"the AWS credentials cannot be had: {error}",
            hint="log in again (aws sso login), or give --s3-profile or --s3-access-key-id",
        ) from error
