"""Options and their variables, as ModelScope's own tools name them."""

import pytest

from dfly import UsageError
from dfly.backend import Secret, Tools, build_options, option_fields
from dfly_modelscope.backend import ModelScopeBackend
from dfly_modelscope.settings import ModelScopeSettings


def settings(**env: str) -> ModelScopeSettings:
    made = build_options(ModelScopeBackend, {}, env)
    assert isinstance(made, ModelScopeSettings)
    return made


def test_each_field_is_a_flag_with_the_hubs_own_variables() -> None:
    flags = {spec.flag: (spec.env, spec.secret, spec.travels) for spec in option_fields(ModelScopeBackend)}
    assert flags == {
        "--ms-token": (("MODELSCOPE_API_TOKEN", "DFLY_MS_TOKEN"), True, True),
        "--ms-revision": (("DFLY_MS_REVISION",), False, True),
        "--ms-endpoint": (("MODELSCOPE_ENDPOINT", "MODELSCOPE_DOMAIN", "DFLY_MS_ENDPOINT"), False, True),
    }


def test_the_endpoint_comes_before_the_old_domain_and_an_empty_one_is_none() -> None:
    assert settings(MODELSCOPE_ENDPOINT="https://a", MODELSCOPE_DOMAIN="b").endpoint == "https://a"
    assert settings(MODELSCOPE_ENDPOINT="", MODELSCOPE_DOMAIN="b").endpoint == "b"
    assert settings().endpoint is None


def test_a_token_is_stripped_and_shown_by_nobody() -> None:
    made = settings(MODELSCOPE_API_TOKEN="ms-secret\n", MODELSCOPE_ENDPOINT="http://me:hunter2@host")
    assert made.token == Secret("ms-secret")
    assert "ms-secret" not in repr(made)
    assert "hunter2" not in repr(made)


@pytest.mark.parametrize("token", ["ms-a b", "ms-a\nX-Evil: 1", "ms-ü", "ms-a; other=b", "ms-a,b"])
def test_a_token_that_no_header_or_cookie_may_carry_is_a_usage_error(token: str, tools: Tools) -> None:
    with pytest.raises(UsageError, match="--ms-token") as caught:
        ModelScopeBackend(settings(MODELSCOPE_API_TOKEN=token), tools)
    assert token not in str(caught.value)


def test_an_unusable_revision_or_endpoint_is_a_usage_error(tools: Tools) -> None:
    for given in ({"revision": "a..b"}, {"endpoint": "ftp://x"}):
        with pytest.raises(UsageError):
            ModelScopeBackend(build_options(ModelScopeBackend, given, {}), tools)
