"""What can be set for ModelScope, with the variables that its own tools use.

| flag | variables | for |
| --- | --- | --- |
| `--ms-token` | MODELSCOPE_API_TOKEN | what only you may read |
| `--ms-revision` | | branch, tag or commit |
| `--ms-endpoint` | MODELSCOPE_ENDPOINT, MODELSCOPE_DOMAIN | another site or your own hub; https:// is added to a bare domain |

The credentials that `modelscope login` leaves on the disk are a pickle. Reading one runs whatever it says, so it is
never opened: log in by MODELSCOPE_API_TOKEN.
"""

import attrs

from dfly import Secret, option


# no repr: an endpoint may hold a password
@attrs.frozen(kw_only=True, repr=False)
class ModelScopeSettings:
    """Options of `modelscope://`."""

    token: Secret | None = option(
        None,
        help="access token, from modelscope.cn/my/myaccesstoken",
        env=("MODELSCOPE_API_TOKEN",),
        secret=True,
        travels=True,
    )
    revision: str | None = option(None, help="branch, tag or commit hash (default: master)")
    endpoint: str | None = option(
        None,
        help="where the hub is (default: modelscope.cn, then www.modelscope.ai)",
        env=("MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN"),
        endpoint=True,
    )
