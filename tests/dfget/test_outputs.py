"""Where files go, which of a repository's files are chosen, and what is refused before the first byte."""

import json

import pytest
from tests.dfget.files import some_bytes, tree

import dfly
from dfly.errors import OutputError, UnsafePath, UsageError
from dfly.plugins import Plugins
from dfly.testing.memory import memory_backend
from dfly.values import Snapshot

FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights",
    "onnx/model.onnx": b"graph",
    "onnx/deep/model.onnx_data": b"data",
    "README.md": b"# read me",
}


@pytest.mark.parametrize(
    ("output", "path"),
    [
        (None, "model.safetensors"),
        ("other.bin", "other.bin"),
        ("new/deep/other.bin", "new/deep/other.bin"),
        ("there", "there/model.safetensors"),
        ("new/", "new/model.safetensors"),
    ],
)
def test_one_file_goes_where_cp_would_put_it(hub, fetch, here, output, path):
    hub.repo("o/r", FILES)
    (here / "there").mkdir()
    report = fetch("hf://o/r/model.safetensors", output)
    assert tree(here) == {path: b"weights"}
    assert report.output == path


@pytest.mark.parametrize("output", ["out", "out/", "there", None])
def test_a_repository_goes_directly_under_its_output(hub, fetch, here, output):
    hub.repo("o/r", FILES)
    (here / "there").mkdir()
    fetch("hf://o/r", output, recursive=True)
    root = (output or "r").rstrip("/")
    assert tree(here) == {f"{root}/{path}": content for path, content in FILES.items()}


@pytest.mark.parametrize("output", ["out", None])
def test_a_folder_of_a_repository_goes_there_without_its_prefix(hub, fetch, here, output):
    hub.repo("o/r", FILES)
    fetch("hf://o/r/onnx", output, recursive=True)
    root = output or "onnx"
    assert tree(here) == {f"{root}/model.onnx": b"graph", f"{root}/deep/model.onnx_data": b"data"}


def test_with_r_one_file_goes_into_the_folder_too(hub, fetch, here):
    hub.repo("o/r", FILES)
    fetch("hf://o/r/onnx/model.onnx", "out", recursive=True)
    assert tree(here) == {"out/model.onnx": b"graph"}


@pytest.mark.parametrize("url", ["hf://o/r", "hf://o/r/onnx"])
def test_a_repository_without_r_is_an_error_that_names_r(hub, dfget, here, url):
    hub.repo("o/r", FILES)
    told = dfget(url, "-O", "out")
    assert told.code == 2
    assert "add -r" in told.err
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("include", "exclude", "chosen"),
    [
        (["*.json"], [], {"config.json"}),
        (["*.onnx"], [], {"onnx/model.onnx"}),
        (["onnx/"], [], {"onnx/model.onnx", "onnx/deep/model.onnx_data"}),
        (["onnx/*", "*.md"], ["*_data"], {"onnx/model.onnx", "README.md"}),
        ([], ["onnx/", "*.md"], {"config.json", "model.safetensors"}),
        (["readme.md"], [], set()),
        (["*"], [], set(FILES)),
    ],
)
def test_globs_are_those_of_the_hubs_own_tools(hub, fetch, here, include, exclude, chosen):
    hub.repo("o/r", FILES)
    fetch("hf://o/r", "out", recursive=True, include=include, exclude=exclude)
    assert tree(here) == {f"out/{path}": FILES[path] for path in chosen}


def test_globs_without_r_are_a_usage_error(hub, fetch):
    hub.repo("o/r", FILES)
    with pytest.raises(UsageError, match="-r"):
        fetch("hf://o/r/config.json", "out", include=["*"])


@pytest.mark.parametrize("argv", [["hf://o/empty"], ["hf://o/r", "--include", "*.nothing"]])
def test_nothing_to_fetch_is_said_and_no_error(hub, dfget, here, argv):
    hub.repo("o/empty", {})
    hub.repo("o/r", FILES)
    told = dfget(*argv, "-r", "-O", "out")
    assert told.code == 0
    assert "no files, nothing to fetch" in told.err
    assert tree(here) == {}


ODD = [
    "with space.txt",
    "100%.txt",
    "50%25.txt",
    "a#b?c.txt",
    "plus+and&.txt",
    'it\'s "quoted".txt',
    "ünïcödé/文件.txt",
    "cafe\u0301.txt",
    "@main/x.txt",
    "-dash.txt",
    "b" * 250,
]


def test_odd_names_arrive_as_they_are(hub, fetch, here):
    files = {name: name.encode() for name in ODD}
    hub.repo("o/r", files)
    fetch("hf://o/r", "out", recursive=True)
    assert tree(here / "out") == files


@pytest.mark.parametrize("name", ODD)
def test_an_odd_name_can_be_asked_for_alone(hub, fetch, here, name):
    hub.repo("o/r", {name: b"content", "other": b"-"})
    fetch(f"hf://o/r/{name}", "out.bin")
    assert tree(here) == {"out.bin": b"content"}


@pytest.mark.parametrize(
    "bad",
    [
        "../escape",
        "a/../../b",
        "C:\\x",
        "a\\..\\..\\b",
        "nul",
        "dot.",
        "tab\t",
        "x" * 256,
        ".cache/huggingface/token",
        ".dfly/journal",
        "CONFIG.json",
        "config.json/inside",
    ],
)
def test_an_unsafe_listing_is_refused_before_the_first_byte(hub, fetch, here, bad):
    repo = hub.repo("o/r", {"config.json": b"{}"})
    repo.commits[repo.refs["refs/heads/main"]].files[bad] = next(iter(repo.commits.values())).files["config.json"]
    with pytest.raises(UnsafePath) as refused:
        fetch("hf://o/r", "out", recursive=True)
    assert refused.value.exit_code == 2
    assert repr(bad)[1:-1] in refused.value.message
    assert hub.calls("resolve", "cdn") == []
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("bad", ["/etc/passwd", "a//b", "a/./b", "\x00", "\ud800"])
def test_what_no_hub_lists_is_refused_too(fetch, here, bad):
    liar = memory_backend({"r": {"config.json": b"{}"}})

    def listing(self, url):
        place = self._place(url)
        entries = [self._entry(place, "config.json", name=name) for name in ("config.json", bad)]
        return Snapshot(url, "r", entries)

    liar.list = listing
    with pytest.raises(UnsafePath):
        fetch("memory://r", "out", recursive=True, plugins=Plugins(extra=[liar]))
    assert list(here.iterdir()) == []


def test_an_unsafe_name_that_is_excluded_does_no_harm(hub, fetch, here):
    hub.repo("o/r", {"config.json": b"{}", "nul": b""})
    fetch("hf://o/r", "out", recursive=True, exclude=["nul"])
    assert tree(here) == {"out/config.json": b"{}"}


def test_a_file_with_an_unsafe_name_can_be_had_as_the_error_says(hub, fetch, here):
    hub.repo("o/r", {"aux.json": b"{}"})
    with pytest.raises(UnsafePath, match="-O NAME"):
        fetch("hf://o/r/aux.json")
    fetch("hf://o/r/aux.json", "mine.json")
    assert tree(here) == {"mine.json": b"{}"}
    assert fetch("hf://o/r/aux.json", "mine.json").skipped == 1


def test_an_empty_file_is_a_file(hub, fetch, here):
    hub.repo("o/r", {"__init__.py": b"", "also-empty": b""})
    fetch("hf://o/r", "out", recursive=True)
    assert tree(here) == {"out/__init__.py": b"", "out/also-empty": b""}
    assert fetch.arrived() == 0


def test_equal_files_cross_the_network_once(hub, fetch, here):
    content = some_bytes(1_200_000)
    files = {"a.bin": content, "deep/b.bin": content, "c.txt": b"same"}
    hub.repo("o/r", files)
    report = fetch("hf://o/r", "out", recursive=True)
    assert tree(here / "out") == files
    assert hub.records.bytes_sent() == len(content) + 4
    assert report.bytes == 2 * len(content) + 4
    assert (here / "out/a.bin").stat().st_ino != (here / "out/deep/b.bin").stat().st_ino


def test_a_folder_where_the_file_should_go_is_refused(hub, fetch, here):
    hub.repo("o/r", FILES)
    (here / "out" / "config.json").mkdir(parents=True)
    with pytest.raises(OutputError, match="is a folder") as refused:
        fetch("hf://o/r", "out", recursive=True)
    assert refused.value.exit_code == 11
    assert hub.calls("resolve") == []


def test_the_pinned_url_and_the_report_name_the_commit(hub, fetch):
    repo = hub.repo("o/r", FILES)
    commit = repo.refs["refs/heads/main"]
    report = fetch("hf://o/r", "out", recursive=True)
    assert report.url == f"hf://o/r@{commit}"
    assert fetch.named("snapshot.resolved")[0].revision == commit


def test_several_sources_go_into_one_folder(hub, fetch, here, web):
    hub.repo("o/r", FILES)
    link = web.add("far/away.bin", b"from the web")
    report = fetch(["hf://o/r/config.json", link], "out")
    assert tree(here) == {"out/config.json": b"{}", "out/away.bin": b"from the web"}
    assert (report.files, report.bytes, report.skipped) == (2, 2 + 12, 0)
    assert report.output == "out/"
    again = fetch(["hf://o/r/config.json", link], "out")
    assert (again.files, again.bytes, again.skipped, again.sources) == (2, 2 + 12, 2, {})


def test_several_sources_that_want_one_name_are_refused_before_the_first_byte(hub, fetch, here):
    hub.repo("o/a", {"config.json": b"a"})
    hub.repo("o/b", {"config.json": b"b"})
    for recursive, urls in (
        (True, ["hf://o/a", "hf://o/b"]),
        (False, ["hf://o/a/config.json", "hf://o/b/config.json"]),
    ):
        with pytest.raises(UsageError, match=r"config\.json"):
            fetch(urls, "out", recursive=recursive)
    assert tree(here) == {}
    assert hub.calls("resolve") == []


def test_one_file_by_two_of_its_links_is_fetched_once(hub, fetch, here):
    hub.repo("o/r", FILES)
    report = fetch(["hf://o/r/config.json", "hf://o/r@main/config.json"], "out")
    assert (report.files, report.skipped, report.sources) == (2, 1, {"hub": 2})
    assert tree(here) == {"out/config.json": b"{}"}


def test_two_links_to_one_name_are_named_without_their_queries(fetch, here, web):
    links = [f"{web.add(f'{folder}/model.bin', b'x')}?pass=s3cret" for folder in "ab"]
    with pytest.raises(UsageError, match=r"would be both \S+a/model\.bin and \S+b/model\.bin") as refused:
        fetch(links, "out")
    assert "s3cret" not in str(refused.value)
    assert tree(here) == {}


def test_a_source_that_is_missing_is_noticed_before_the_first_byte_of_another(hub, fetch, here):
    hub.repo("o/a", FILES)
    with pytest.raises(dfly.NotFound):
        fetch(["hf://o/a/config.json", "hf://o/missing/config.json"], "out")
    assert tree(here) == {}


def test_several_repositories_without_an_output_keep_their_names(hub, dfget, here):
    hub.repo("o/a", {"config.json": b"a"})
    hub.repo("o/b", {"config.json": b"b"})
    done = dfget("hf://o/a", "hf://o/b", "-r", "--json")
    assert done.code == 0, done.err
    assert tree(here) == {"a/config.json": b"a", "b/config.json": b"b"}
    assert [json.loads(line)["event"] for line in done.out.splitlines()].count("snapshot.resolved") == 2


def test_no_source_at_all_is_a_usage_error(fetch):
    with pytest.raises(UsageError, match="no source URL"):
        fetch([])
