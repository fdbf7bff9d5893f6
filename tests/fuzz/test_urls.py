"""The grammars of all plugins' URLs, and of endpoints: a URL of ours, or a UsageError that says how to write one."""

import httpx
import pytest
from hypothesis import example
from hypothesis import strategies as st
from tests.fuzz.material import fuzz, headers, texts

from dfly.endpoint import Endpoint
from dfly.errors import NotAFile, Unsupported, UsageError
from dfly.values import bare_url
from dfly_hf.urls import RepoUrl as HfUrl
from dfly_http.links import Link
from dfly_modelscope.urls import RepoUrl as ModelScopeUrl
from dfly_modelscope.urls import endpoint_of
from dfly_s3.endpoints import Endpoint as Store
from dfly_s3.urls import S3Url

SCHEMES = ("hf", "modelscope", "s3", "http", "https", "HF", "file", "")
PIECES = st.sampled_from(
    ["/", "//", "@", ":", "?", "#", "%", "%2F", "%00", "%ff", "..", ".", "[", "]", "[::1]", "o", "r", "main", "datasets",
     "spaces", "resolve", "blob", "tree", "refs/pr/1", "models", "api", "v1", "xn--a", "\\", "+", "&", "=", ";", "~",
     "huggingface.co", "www.modelscope.cn", "127.0.0.1", "?versionId=", "a.bin", "Revision=x", "FilePath=", "\ud800"]
)  # fmt: skip
BODIES = st.lists(PIECES | texts | headers, max_size=8).map("".join)
URLS = st.builds("{}://{}".format, st.sampled_from(SCHEMES), BODIES) | BODIES
#: What a grammar may say no with: nothing that another try would better.
REFUSALS = (UsageError, NotAFile, Unsupported)


def parsed(parse, text):
    try:
        return parse(text)
    except REFUSALS:
        return None


@pytest.mark.parametrize("grammar", [HfUrl, ModelScopeUrl, S3Url], ids=["hf", "modelscope", "s3"])
@fuzz(URLS, examples=150)
@example("hf://o/r@refs%2Fpr%2F1/a")
@example("https://huggingface.co:99999/o/r")
@example("https://[::1/o/r")
@example("https://huggingface.co/o/r/resolve/%ff/a")
@example("s3://b/" + "?versionId=" * 3)
def test_a_url_is_one_of_the_hubs_or_a_usage_error_and_comes_back_as_it_was(grammar, text):
    found = parsed(grammar.parse, text)
    if found is not None:
        # not the same value: what is written down names the default revision where the grammar needs one
        assert str(grammar.parse(str(found))) == str(found)
        assert "\0" not in found.name
        assert found.name not in ("..", ".", "")


@pytest.mark.parametrize("grammar", [HfUrl, ModelScopeUrl], ids=["hf", "modelscope"])
@fuzz(st.builds("http://127.0.0.1:9/pre/{}".format, BODIES), examples=100)
def test_a_link_of_a_hub_of_ones_own_is_one_or_a_usage_error(grammar, text):
    parsed(lambda t: grammar.parse(t, endpoint=Endpoint("http://127.0.0.1:9/pre")), text)


@fuzz(st.builds("{}://{}".format, st.sampled_from(["http", "https", "HTTP"]), BODIES) | URLS, examples=200)
@example("http://xn--a/")
@example("http://[::ffff:1.2.3.4]:1/a")
@example("http://a:b@c@d/e")
@example("http://h/?token=" + "x" * 5000)
def test_a_web_link_is_one_that_can_be_asked_for_or_a_usage_error(text):
    link = parsed(Link.parse, text)
    if link is not None:
        asked = httpx.URL(link.address)
        assert asked.scheme in ("http", "https")
        assert asked.host
        assert not asked.userinfo
        assert Link.parse(link.public).public == link.public
        assert "/" not in link.name


@pytest.mark.parametrize("parse", [Endpoint.parse, endpoint_of, lambda t: Store.custom(t, addressing="auto")])
@fuzz(URLS | BODIES, examples=100)
@example("http://h:٣/")
@example("http://h:99999/")
@example("http://[v1.x]/")
@example("http://xn--a/")
@example("http://h\ud800/")
def test_an_endpoint_is_one_or_a_usage_error(parse, text):
    parsed(parse, text)


@fuzz(URLS | texts)
def test_what_is_shown_of_a_url_has_no_password_and_no_query(text):
    shown = bare_url(text)
    assert "?" not in shown
    if shown.startswith(("http://", "https://")):
        assert "@" not in shown.partition("://")[2].partition("/")[0]
