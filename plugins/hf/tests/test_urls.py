import pytest
from huggingface_hub.utils import parse_hf_uri
from hypothesis import given
from hypothesis import strategies as st

from dfly import Endpoint, UsageError
from dfly_hf.urls import RepoUrl

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf://owner/repo", RepoUrl("models", "owner/repo")),
        ("HF://owner/repo/", RepoUrl("models", "owner/repo")),
        ("hf://models/owner/repo", RepoUrl("models", "owner/repo")),
        ("hf://owner/repo/sub/file.bin", RepoUrl("models", "owner/repo", None, "sub/file.bin")),
        ("hf://owner/repo/folder/", RepoUrl("models", "owner/repo", None, "folder")),
        ("hf://datasets/owner/repo@v1.0/train.json", RepoUrl("datasets", "owner/repo", "v1.0", "train.json")),
        ("hf://spaces/owner/repo@main", RepoUrl("spaces", "owner/repo", "main")),
        ("hf://kernels/owner/repo", RepoUrl("kernels", "owner/repo")),
        ("hf://owner/repo@feature%2Fx/a", RepoUrl("models", "owner/repo", "feature/x", "a")),
        ("hf://owner/repo@feature/x", RepoUrl("models", "owner/repo", "feature", "x")),
        ("hf://owner/repo@refs/pr/12/a/b", RepoUrl("models", "owner/repo", "refs/pr/12", "a/b")),
        ("hf://owner/repo@refs/pr/12x", RepoUrl("models", "owner/repo", "refs", "pr/12x")),
        ("hf://datasets/o/r@refs/convert/parquet", RepoUrl("datasets", "o/r", "refs/convert/parquet")),
        ("hf://owner/repo/a@b/c", RepoUrl("models", "owner/repo", None, "a@b/c")),
        ("hf://owner/repo/100%25 #1?.txt", RepoUrl("models", "owner/repo", None, "100%25 #1?.txt")),
        ("hf://gpt2", RepoUrl("models", "gpt2")),
        ("hf://gpt2/", RepoUrl("models", "gpt2")),
        ("hf://gpt2@v1", RepoUrl("models", "gpt2", "v1")),
        ("hf://gpt2@main/config.json", RepoUrl("models", "gpt2", "main", "config.json")),
        ("hf://gpt2/config.json", RepoUrl("models", "gpt2/config.json")),
        ("hf://datasets/squad@main/train.json", RepoUrl("datasets", "squad", "main", "train.json")),
    ],
)
def test_the_grammar_is_the_hubs(text: str, expected: RepoUrl) -> None:
    assert RepoUrl.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://huggingface.co/owner/repo", RepoUrl("models", "owner/repo")),
        ("https://hf.co/datasets/o/r", RepoUrl("datasets", "o/r")),
        ("https://huggingface.co/o/r/blob/main/a%20b.txt", RepoUrl("models", "o/r", "main", "a b.txt")),
        ("https://huggingface.co/o/r/resolve/main/x.bin?download=true", RepoUrl("models", "o/r", "main", "x.bin")),
        ("https://huggingface.co/o/r/raw/v1/x#L3", RepoUrl("models", "o/r", "v1", "x")),
        ("https://huggingface.co/o/r/blame/v1/x", RepoUrl("models", "o/r", "v1", "x")),
        ("https://huggingface.co/datasets/o/r/tree/main/sub", RepoUrl("datasets", "o/r", "main", "sub")),
        ("https://huggingface.co/spaces/o/r/tree", RepoUrl("spaces", "o/r")),
        ("https://huggingface.co/o/r/tree/refs%2Fpr%2F1/sub", RepoUrl("models", "o/r", "refs/pr/1", "sub")),
        ("https://huggingface.co/o/r/tree/refs/pr/1/sub", RepoUrl("models", "o/r", "refs/pr/1", "sub")),
        ("https://huggingface.co/o/r/blob/main/100%2525.txt", RepoUrl("models", "o/r", "main", "100%25.txt")),
        ("https://huggingface.co/gpt2/blob/main/config.json", RepoUrl("models", "gpt2", "main", "config.json")),
        ("http://Hub.corp:8080/hf/o/r/blob/main/x", RepoUrl("models", "o/r", "main", "x")),
    ],
)
def test_a_pasted_link_names_the_same_thing(text: str, expected: RepoUrl) -> None:
    assert RepoUrl.parse(text, endpoint=Endpoint.parse("http://hub.corp:8080/hf/")) == expected


@pytest.mark.parametrize(
    "text",
    [
        "hf://",
        "hf://datasets",
        "hf://datasets/",
        "hf://model/owner/repo",
        "hf://dataset/owner/repo",
        "hf://buckets/owner/name",
        "hf://ow--ner/repo",
        "hf://owner/re..po",
        "hf://owner/repo.git",
        "hf://-owner/repo",
        "hf://owner/ré",
        f"hf://owner/{'x' * 97}",
        "hf://owner/repo@",
        "hf://owner/repo@/x",
        "hf://owner/repo@..%2Fmain",
        "hf://owner/repo@%FF",
        "hf://owner/repo@a%0Ab",
        "hf://owner/repo//x",
        "hf://owner/repo/a/../b",
        "hf://owner/repo/\udc80",
        "https://example.org/o/r",
        "http://hub.corp:8081/hf/o/r",
        "https://huggingface.co/o/r/discussions/1",
        "https://huggingface.co/",
        "https://huggingface.co/o/r/blob/main/a/%2E%2E/b",
        "http://[broken/",
        "ftp://huggingface.co/o/r",
    ],
)
def test_what_names_nothing_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        RepoUrl.parse(text, endpoint=Endpoint.parse("http://hub.corp:8080/hf/"))


def test_a_singular_type_is_answered_with_the_plural() -> None:
    with pytest.raises(UsageError, match="hf://datasets/squad/x"):
        RepoUrl.parse("hf://dataset/squad/x")


def test_a_pasted_link_is_refused_without_its_signature() -> None:
    with pytest.raises(UsageError) as caught:
        RepoUrl.parse("https://me:hunter2@example.org/o/r?X-Amz-Signature=abc")
    assert "hunter2" not in str(caught.value)
    assert "abc" not in str(caught.value)


PARTS = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)
REVISIONS = st.none() | st.from_regex(r"[a-zA-Z0-9%#?@/_-]{1,12}", fullmatch=True) | st.just("refs/pr/3")
PATHS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/"), min_size=1, max_size=5), max_size=3)


@given(st.sampled_from(["models", "datasets"]), PARTS, PARTS, REVISIONS, PATHS)
def test_what_is_written_is_read_back(kind: str, owner: str, name: str, revision: str | None, path: list[str]) -> None:
    if any(part in (".", "..") for part in path) or owner in ("model", "models", "dataset", "datasets"):
        return
    url = RepoUrl(kind, f"{owner}/{name}", revision, "/".join(path))
    assert RepoUrl.parse(str(url)) == url


@given(PARTS, PARTS, REVISIONS, PATHS)
def test_the_real_client_reads_our_urls_as_we_do(owner: str, name: str, revision: str | None, path: list[str]) -> None:
    if any(part in (".", "..") for part in path) or owner[:-1] in ("model", "dataset", "space", "kernel", "bucket"):
        return
    url = RepoUrl("datasets", f"{owner}/{name}", revision, "/".join(path))
    theirs = parse_hf_uri(str(url))
    assert (theirs.type, theirs.id, theirs.revision, theirs.path_in_repo) == ("dataset", url.repo, revision, url.path)


def test_a_one_segment_repository_survives_being_pinned() -> None:
    url = RepoUrl("models", "gpt2", COMMIT, "config.json")
    assert RepoUrl.parse(str(url)) == url
    assert url.pinned
    assert str(RepoUrl("models", "gpt2", None, "config.json")) == "hf://gpt2@main/config.json"


@pytest.mark.parametrize(
    ("text", "url", "userinfo"),
    [
        ("https://huggingface.co/", "https://huggingface.co", ""),
        (" http://host:8080/hf/ ", "http://host:8080/hf", ""),
        ("http://me:p%40ss@host/a/b//", "http://host/a/b", "me:p@ss"),
    ],
)
def test_an_endpoint_keeps_its_port_and_prefix(text: str, url: str, userinfo: str) -> None:
    endpoint = Endpoint.parse(text)
    assert (endpoint.url, endpoint.userinfo) == (url, userinfo)
    assert "p@ss" not in repr(endpoint)


@pytest.mark.parametrize("text", ["huggingface.co", "ftp://host", "https://", "http://host:port", "http://host:0"])
def test_an_endpoint_that_is_no_web_address_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="hub endpoint"):
        Endpoint.parse(text)
