"""Options are declared once, on the backend; flags, variables and masks follow from it."""

import attrs
import pytest

import dfly
from dfly.backend import Secret, build_options, option_fields


def token_file():
    return "from-the-file"


@attrs.frozen
class GopherOptions:
    token: Secret | None = dfly.option(
        help="what the hole asks for", env=("GOPHER_TOKEN", "BURROW_TOKEN"), secret=True, fallback=token_file
    )
    burrow_depth: str = dfly.option("3", help="how deep, in metres")
    header: tuple[Secret, ...] = dfly.option(help="sent along", secret=True, travels=True, repeated=True)
    tag: tuple[str, ...] = dfly.option(help="plain and repeated", repeated=True)


class Gopher(dfly.Backend):
    schemes = ("gopher", "gophers")
    options = GopherOptions

    def stat(self, url):
        raise NotImplementedError

    def list(self, url):
        raise NotImplementedError


def test_a_field_becomes_a_flag_and_variables():
    token, depth, header, tag = option_fields(Gopher)
    assert (token.flag, token.env) == ("--gopher-token", ("GOPHER_TOKEN", "BURROW_TOKEN", "DFLY_GOPHER_TOKEN"))
    assert (depth.flag, depth.env, depth.default) == ("--gopher-burrow-depth", ("DFLY_GOPHER_BURROW_DEPTH",), "3")
    assert (header.repeated, tag.repeated, depth.repeated) == (True, True, False)


def test_plain_options_travel_and_secrets_only_when_told():
    assert [spec.travels for spec in option_fields(Gopher)] == [False, True, True, True]


def test_a_prefix_names_the_flags():
    class Marmot(Gopher):
        prefix = "mm"

    assert option_fields(Marmot)[0].flag == "--mm-token"
    assert option_fields(Marmot)[0].env[-1] == "DFLY_MM_TOKEN"


@pytest.mark.parametrize(
    ("given", "env", "token"),
    [
        ({"token": "flag"}, {"GOPHER_TOKEN": "first", "DFLY_GOPHER_TOKEN": "last"}, "flag"),
        ({}, {"GOPHER_TOKEN": "first", "BURROW_TOKEN": "second", "DFLY_GOPHER_TOKEN": "last"}, "first"),
        ({}, {"BURROW_TOKEN": "second", "DFLY_GOPHER_TOKEN": "last"}, "second"),
        ({}, {"DFLY_GOPHER_TOKEN": "last"}, "last"),
        ({}, {}, "from-the-file"),
        ({"token": ""}, {"GOPHER_TOKEN": "first"}, "first"),
        ({}, {"GOPHER_TOKEN": "", "BURROW_TOKEN": "second"}, "second"),
        ({"token": ""}, {"GOPHER_TOKEN": ""}, "from-the-file"),
    ],
)
def test_flags_come_before_variables_before_files_and_empty_means_not_given(given, env, token):
    assert build_options(Gopher, given, env).token.reveal() == token


def test_what_nobody_gives_has_its_default():
    options = build_options(Gopher, {}, {})
    assert (options.burrow_depth, options.header, options.tag) == ("3", (), ())
    assert build_options(Gopher, {"burrow_depth": ""}, {"DFLY_GOPHER_BURROW_DEPTH": ""}).burrow_depth == "3"


def test_a_repeated_option_keeps_every_value():
    options = build_options(Gopher, {"header": ("A: 1", "B: 2"), "tag": "one"}, {})
    assert [secret.reveal() for secret in options.header] == ["A: 1", "B: 2"]
    assert options.tag == ("one",)
    assert build_options(Gopher, {}, {"DFLY_GOPHER_TAG": "from-env"}).tag == ("from-env",)


def test_a_secret_shows_itself_nowhere():
    options = build_options(Gopher, {"token": "hush-1", "header": ("X: hush-2",)}, {})
    for shown in (repr(options), str(options), f"{options.token}", f"{options.token!r}", "%s" % options.header[0]):  # noqa: UP031
        assert "hush" not in shown


def test_a_secret_loses_the_newline_of_its_file():
    assert Secret("token\n").reveal() == "token"
