"""The grammar of `modelscope://` URLs and of the hub's web links."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfly import Endpoint, UsageError
from dfly_modelscope.urls import INTERNATIONAL, RepoUrl, endpoint_of

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("modelscope://owner/repo", RepoUrl("models", "owner/repo")),
        ("ModelScope://owner/repo/", RepoUrl("models", "owner/repo")),
        ("modelscope://models/owner/repo", RepoUrl("models", "owner/repo")),
        ("modelscope://datasets/owner/repo@v1.0/train.json", RepoUrl("datasets", "owner/repo", "v1.0", "train.json")),
        ("modelscope://owner/repo/sub/file.bin", RepoUrl("models", "owner/repo", None, "sub/file.bin")),
        ("modelscope://owner/repo/folder/", RepoUrl("models", "owner/repo", None, "folder")),
        ("modelscope://owner/repo@feature%2Fx/a", RepoUrl("models", "owner/repo", "feature/x", "a")),
        ("modelscope://owner/repo@feature/x", RepoUrl("models", "owner/repo", "feature", "x")),
        ("modelscope://owner/repo/a@b/c", RepoUrl("models", "owner/repo", None, "a@b/c")),
        ("modelscope://owner/repo/100%25 +#1?.txt", RepoUrl("models", "owner/repo", None, "100%25 +#1?.txt")),
        ("modelscope://Qwen/Qwen2.5_0.5B-a", RepoUrl("models", "Qwen/Qwen2.5_0.5B-a")),
        ("modelscope://modelscope.ai/o/r", RepoUrl("models", "o/r", site=INTERNATIONAL)),
        ("modelscope://www.modelscope.ai/datasets/o/r@v", RepoUrl("datasets", "o/r", "v", site=INTERNATIONAL)),
        ("modelscope://modelscope.cn/o/r", RepoUrl("models", "o/r")),
    ],
)
def test_a_url_names_what_it_says(text: str, expected: RepoUrl) -> None:
    assert RepoUrl.parse(text) == expected


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("modelscope.cn/models/o/r", RepoUrl("models", "o/r")),
        ("www.modelscope.cn/models/o/r/summary", RepoUrl("models", "o/r")),
        ("modelscope.cn/models/o/r/files", RepoUrl("models", "o/r")),
        ("modelscope.cn/datasets/o/r/dataPeview", RepoUrl("datasets", "o/r")),
        (
            "modelscope.cn/models/o/r/file/view/master/a%20b/c.txt?status=1",
            RepoUrl("models", "o/r", "master", "a b/c.txt"),
        ),
        (
            "modelscope.cn/models/o/r/file/view/master?fileName=a%2Fb.md&status=1",
            RepoUrl("models", "o/r", "master", "a/b.md"),
        ),
        ("modelscope.cn/models/o/r/resolve/v1/x.bin?download=true", RepoUrl("models", "o/r", "v1", "x.bin")),
        ("modelscope.cn/models/o/r/resolve/feature%2Fx/100%2525", RepoUrl("models", "o/r", "feature/x", "100%25")),
        ("modelscope.cn/models/o/r/tree/master/sub#L3", RepoUrl("models", "o/r", "master", "sub")),
        ("modelscope.cn/models/o/r/tree", RepoUrl("models", "o/r")),
        ("modelscope.cn/api/v1/models/o/r/repo?Revision=v1&FilePath=a+b%2Fc", RepoUrl("models", "o/r", "v1", "a b/c")),
        ("modelscope.cn/api/v1/datasets/o/r/repo?FilePath=c", RepoUrl("datasets", "o/r", None, "c")),
        ("www.modelscope.ai/models/o/r", RepoUrl("models", "o/r", site=INTERNATIONAL)),
        ("modelscope.ai/datasets/o/r/files", RepoUrl("datasets", "o/r", site=INTERNATIONAL)),
        ("Hub.corp:8080/ms/models/o/r/resolve/master/x", RepoUrl("models", "o/r", "master", "x")),
    ],
)
def test_a_pasted_link_names_the_same_thing(link: str, expected: RepoUrl) -> None:
    assert RepoUrl.parse(f"https://{link}", endpoint=Endpoint("https://hub.corp:8080/ms")) == expected


@pytest.mark.parametrize(
    "text",
    [
        "modelscope://",
        "modelscope://owner",
        "modelscope://owner/",
        "modelscope:///repo",
        "modelscope://owner//x",
        "modelscope://owner/repo@",
        "modelscope://owner/repo@a..b",
        "modelscope://owner/repo@%FF",
        "modelscope://owner/repo/../x",
        "modelscope://owner/repo/a//b",
        "modelscope://owner/repo/./a",
        "modelscope://owner/repo/\ud800",
        "modelscope://ow ner/repo",
        "modelscope://owner/re..po",
        "modelscope://studios/owner/repo",
        "modelscope://datasets/owner",
        "modelscope://modelscope.ai/owner",
        "hf://owner/repo",
        "https://example.com/models/o/r",
        "https://modelscope.cn/",
        "https://modelscope.cn/studios/o/r",
        "https://modelscope.cn/models/o",
        "https://modelscope.cn/models/o/r/commits/master",
        "https://modelscope.cn/models/o/r/resolve/master/%FF",
        "https://[modelscope.cn/models/o/r",
    ],
)
def test_what_is_no_url_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        RepoUrl.parse(text)


NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,8}", fullmatch=True).filter(
    lambda name: name not in ("models", "datasets", "studios", "skills", "mcp", "mcps", "collections")
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
PATHS = st.lists(TEXT.filter(lambda part: "/" not in part and part not in (".", "..")), max_size=3).map("/".join)
REVISIONS = st.none() | st.sampled_from(["master", "v1.0", "feature/x", "100%", "a@b", COMMIT])


@given(
    st.builds(
        RepoUrl,
        kind=st.sampled_from(["models", "datasets"]),
        repo=st.builds("{}/{}".format, NAMES, NAMES),
        revision=REVISIONS,
        path=PATHS,
        site=st.sampled_from(["", INTERNATIONAL]),
    )
)
def test_a_url_is_read_as_it_is_written(url: RepoUrl) -> None:
    assert RepoUrl.parse(str(url)) == url


@pytest.mark.parametrize(
    ("text", "url", "userinfo"),
    [
        ("modelscope.cn", "https://modelscope.cn", ""),
        (" www.modelscope.ai/ ", "https://www.modelscope.ai", ""),
        ("hub:8080/ms/", "https://hub:8080/ms", ""),
        ("http://hub", "http://hub", ""),
        ("HTTPS://me:p%40w@hub:1/x", "https://hub:1/x", "me:p@w"),
    ],
)
def test_an_endpoint_is_https_unless_it_says_otherwise(text: str, url: str, userinfo: str) -> None:
    endpoint = endpoint_of(text)
    assert (endpoint.url, endpoint.userinfo) == (url, userinfo)
    assert "p@w" not in repr(endpoint)


@pytest.mark.parametrize("text", ["", "ftp://hub", "https://", "http://hub:0", "http://hub:x", "http://[::1"])
def test_what_is_no_endpoint_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="not a hub endpoint"):
        endpoint_of(text)
