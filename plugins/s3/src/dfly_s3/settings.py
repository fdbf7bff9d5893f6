"""What can be set for S3. Options are what the user typed, and travel; what this machine knows of itself never does.

`AWS_ACCESS_KEY_ID`, `AWS_PROFILE`, container and instance roles are therefore no options: botocore looks at them in the
process that signs (`dfly_s3.account`), and a seed peer signs with its own, but never for an endpoint that a node has chosen.
"""

import os

import attrs

from dfly import Secret, option

_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def is_true(value: str | None) -> bool:
    """Whether AWS tools would read `value` as true; `1`, `yes` and `on` count as well."""
    return (value or "").strip().lower() in ("1", "true", "yes", "on")


# no repr: an endpoint may be typed with a password in it
@attrs.frozen(kw_only=True, repr=False)
class S3Settings:
    """Options of `s3://`."""

    profile: str | None = option(
        None, help="profile in ~/.aws; else AWS_PROFILE, as AWS tools read it on the machine that signs", travels=False
    )
    region: str | None = option(
        None,
        help="region to ask first; else the profile's, else us-east-1: a bucket elsewhere is found",
        env=("AWS_REGION", "AWS_DEFAULT_REGION"),
    )
    endpoint: str | None = option(
        None,
        help="another object store, https://host[:port][/prefix]; else the profile's endpoint_url",
        env=_ENDPOINTS,
        endpoint=True,
    )
    ignore_endpoints: str = option(
        "",
        help="1 leaves out endpoints from the environment and the profile",
        env=("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",),
        travels=False,
    )
    addressing: str = option("auto", help="path, virtual (bucket as host name) or auto (virtual for AWS, else path)")
    anonymous: str = option("", help="1 signs nothing, for public buckets")
    requester_pays: str = option("", help="1 agrees to pay for reading a requester-pays bucket")
    access_key_id: Secret | None = option(
        None,
        help="key to sign with; else AWS_ACCESS_KEY_ID, profile, SSO, web identity, container or instance role",
        secret=True,
        travels=True,
    )
    secret_access_key: Secret | None = option(None, help="the secret of that key", secret=True, travels=True)
    session_token: Secret | None = option(None, help="the token of a temporary key", secret=True, travels=True)

    def __attrs_post_init__(self) -> None:
        """Forget an endpoint that came from the environment where the environment says to."""
        # here and not where it is used, because that may be another machine, with another environment
        if is_true(self.ignore_endpoints) and self.endpoint in [os.environ.get(name) for name in _ENDPOINTS]:
            object.__setattr__(self, "endpoint", None)
