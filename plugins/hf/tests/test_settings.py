"""Tokens, files and variables are read as the hub's own tools read them."""

from pathlib import Path

import pytest

from dfly import UsageError
from dfly.backend import Secret, Tools, build_options, option_fields
from dfly_hf.backend import HfBackend
from dfly_hf.settings import HfSettings, stored_token


def settings(**env: str) -> HfSettings:
    made = build_options(HfBackend, {}, env)
    assert isinstance(made, HfSettings)
    return made


def test_each_field_is_a_flag_with_the_hubs_own_variables() -> None:
    flags = {spec.flag: (spec.env, spec.secret, spec.travels) for spec in option_fields(HfBackend)}
    assert flags == {
        "--hf-token": (("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "DFLY_HF_TOKEN"), True, True),
        "--hf-revision": (("DFLY_HF_REVISION",), False, True),
        "--hf-endpoint": (("HF_ENDPOINT", "DFLY_HF_ENDPOINT"), False, True),
        "--hf-offline": (("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "DFLY_HF_OFFLINE"), False, False),
    }


def test_hf_token_comes_before_the_old_variable_and_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_file\n")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert settings(HF_TOKEN="hf_a\n", HUGGING_FACE_HUB_TOKEN="hf_b").token == Secret("hf_a")
    assert settings(HF_TOKEN="", HUGGING_FACE_HUB_TOKEN="hf_b").token == Secret("hf_b")
    assert settings().token == Secret("hf_file")


def test_the_token_file_is_where_the_hubs_tools_put_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for place, variable, value in (
        (tmp_path / "elsewhere", "HF_TOKEN_PATH", tmp_path / "elsewhere"),
        (tmp_path / "home/token", "HF_HOME", tmp_path / "home"),
        (tmp_path / "cache/huggingface/token", "XDG_CACHE_HOME", tmp_path / "cache"),
        (tmp_path / "user/.cache/huggingface/token", "HOME", tmp_path / "user"),
    ):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"hf_{variable}\n")
        with monkeypatch.context() as env:
            for name in ("HF_TOKEN_PATH", "HF_HOME", "XDG_CACHE_HOME"):
                env.delenv(name, raising=False)
            env.setenv(variable, str(value))
            assert stored_token() == f"hf_{variable}"


@pytest.mark.parametrize(("value", "expected"), [("1", None), ("yes", None), ("0", "hf_file"), ("", "hf_file")])
def test_the_token_file_may_be_forbidden(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, expected: str | None
) -> None:
    (tmp_path / "token").write_text("hf_file")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", value)
    assert stored_token() == expected


def test_no_token_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings().token is None
    (tmp_path / "token").write_bytes(b"\n")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    assert settings().token is None


def test_settings_show_neither_token_nor_password() -> None:
    made = settings(HF_TOKEN="hf_secret", HF_ENDPOINT="http://me:hunter2@host")
    assert "hf_secret" not in repr(made)
    assert "hunter2" not in repr(made)


@pytest.mark.parametrize("token", ["hf_a b", "hf_a\nX-Evil: 1", "hf_ü"])
def test_a_token_that_no_header_may_carry_is_a_usage_error(token: str, tools: Tools) -> None:
    with pytest.raises(UsageError, match="--hf-token") as caught:
        HfBackend(settings(HF_TOKEN=token), tools)
    assert token not in str(caught.value)


def test_an_unusable_revision_is_a_usage_error(tools: Tools) -> None:
    with pytest.raises(UsageError, match="not a revision"):
        HfBackend(build_options(HfBackend, {"revision": "a..b"}, {}), tools)
