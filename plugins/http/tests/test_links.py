"""A link is taken apart without changing what it means, and its secrets stay behind."""

import pytest

import dfly
from dfly_http.links import Link, safe_name


@pytest.mark.parametrize(
    ("typed", "public"),
    [
        ("https://host/a/b.bin", "https://host/a/b.bin"),
        ("HTTPS://Host:443/a/b.bin", "https://host/a/b.bin"),
        ("http://host:80/a", "http://host/a"),
        ("http://host:8080/a", "http://host:8080/a"),
        ("https://host", "https://host/"),
        ("https://host/a#top", "https://host/a"),
        ("https://bücher.example/a", "https://xn--bcher-kva.example/a"),
        ("http://[::1]:8080/a", "http://[::1]:8080/a"),
        ("http://127.0.0.1:9/a", "http://127.0.0.1:9/a"),
    ],
)
def test_one_server_has_one_spelling(typed, public):
    link = Link.parse(typed)
    assert (link.public, link.address) == (public, public)


@pytest.mark.parametrize(
    "path",
    [
        "/a%2Fb/%2e%2E/c%20d.bin",
        "/a%2fb",
        "/%E4%BD%A0.bin",
        "/a+b&c=d;e,f",
        "/~x/%7Ex",
        "/a?v=%2F+%20&w=a;b&empty=&bare",
    ],
)
def test_percent_encoding_stays_as_typed(path):
    link = Link.parse(f"https://host{path}")
    assert link.address == link.public == f"https://host{path}"


def test_what_needs_encoding_is_encoded_once():
    link = Link.parse("https://host/my model é.bin?q=a b")
    assert link.address == "https://host/my%20model%20%C3%A9.bin?q=a%20b"
    assert Link.parse(link.address).address == link.address


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        (
            "X-Amz-Algorithm=A&X-Amz-Credential=c&X-Amz-Date=d&X-Amz-Expires=60&X-Amz-Signature=s&versionId=7",
            "versionId=7",
        ),
        ("AWSAccessKeyId=k&Signature=s%2Bt&Expires=1700000000", ""),
        ("part=2&Policy=p&Signature=s&Key-Pair-Id=k", "part=2"),
        ("GoogleAccessId=g&Expires=1&Signature=s", ""),
        ("X-Goog-Signature=s&X-Goog-Expires=9&generation=3", "generation=3"),
        ("sv=2024&se=2026&sr=b&sp=r&sig=s%3D&snapshot=5", "snapshot=5"),
        ("OSSAccessKeyId=o&Expires=1&Signature=s", ""),
        ("q-sign-algorithm=sha1&q-ak=a&q-sign-time=1&q-key-time=1&q-header-list=&q-url-param-list=&q-signature=s", ""),
        ("md5=abc&expires=1700000000", ""),
        ("token=t&file=a.bin", "file=a.bin"),
        ("access_token=t&private_token=p&api_key=k&id=4", "id=4"),
        ("response-content-disposition=inline&X-Amz-Signature=s", ""),
        ("TOKEN=t&A=1", "A=1"),
        ("to%6Ben=t&a=1", "a=1"),
    ],
)
def test_signatures_and_tokens_are_not_in_the_public_form(query, kept):
    link = Link.parse(f"https://host/a.bin?{query}")
    assert link.public == "https://host/a.bin" + (f"?{kept}" if kept else "")
    assert link.address == f"https://host/a.bin?{query}"
    assert link.signed


@pytest.mark.parametrize(
    "query", ["version=3", "sp=1&st=2", "md5=abc", "expires=never", "download=true&raw", "policy=x"]
)
def test_a_query_that_may_select_the_content_stays(query):
    link = Link.parse(f"https://host/a.bin?{query}")
    assert link.public.endswith(f"?{query}")
    assert not link.signed


def test_user_info_becomes_basic_credentials_and_leaves_the_link():
    link = Link.parse("https://me%40work:p%3Aw@host/a")
    assert link.public == link.address == "https://host/a"
    assert link.authorization.reveal() == "Basic bWVAd29yazpwOnc="
    assert "p%3Aw" not in repr(link)
    assert "bWVA" not in repr(link)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/model.bin", "model.bin"),
        ("/my%20model.bin", "my model.bin"),
        ("/%E4%BD%A0.bin", "你.bin"),
        ("/a%2Fb.bin", "a%2Fb.bin"),
        ("/..%2F..%2Fetc%2Fpasswd", "..%2F..%2Fetc%2Fpasswd"),
        ("/a%5Cb", "a%5Cb"),
        ("/nul%00.bin", "nul%00.bin"),
        ("/latin%E9.bin", "latin%E9.bin"),
        ("/", ""),
        ("", ""),
        ("/folder/", ""),
        ("/%2E%2E", "%2E%2E"),
    ],
)
def test_the_name_is_the_last_component_decoded_where_that_is_safe(path, name):
    assert Link.parse(f"https://host{path}").name == name


@pytest.mark.parametrize("name", ["", ".", "..", " ", "a/b", "a\\b", "a\nb", "a\0b"])
def test_an_unsafe_name_is_no_name(name):
    assert safe_name(name, decoded=True) == ""


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "host/a",
        "ftp://host/a",
        "https://",
        "https:///a",
        "https:// /a",
        "https://[/a",
        "https://a b/c",
        "https://h/\n",
    ],
)
def test_what_is_no_web_link_is_a_usage_error(typed):
    with pytest.raises(dfly.UsageError, match="not a web link"):
        Link.parse(typed)


def test_a_bad_link_is_refused_without_showing_its_password():
    with pytest.raises(dfly.UsageError) as caught:
        Link.parse("https://me:hush@[/a?token=hush")
    assert "hush" not in str(caught.value)
