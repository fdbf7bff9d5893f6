"""What arrives is compared with what was promised, and nothing wrong ever stands at a final path."""

import hashlib
import threading
from pathlib import Path

import pytest
from tests.dfget.files import MIB, some_bytes, tree

from dfly.errors import IntegrityError, OriginUnavailable, UsageError
from dfly.testing import faults

LARGE = some_bytes(3 * MIB)
SHA = hashlib.sha256(LARGE).hexdigest()


@pytest.mark.parametrize(("name", "content", "where"), [("big.bin", LARGE, "cdn"), ("small.json", b"{}", "resolve")])
def test_wrong_bytes_are_fetched_once_more(hub, fetch, here, name, content, where):
    hub.repo("o/r", {name: content})
    hub.fault(where, flip=True)
    fetch(f"hf://o/r/{name}")
    assert tree(here) == {name: content}
    (retried,) = fetch.named("retrying")
    assert "expected" in retried.cause
    assert "once more" in retried.cause


@pytest.mark.parametrize(("name", "content", "where"), [("big.bin", LARGE, "cdn"), ("small.json", b"{}", "resolve")])
def test_bytes_that_stay_wrong_are_an_error_and_leave_nothing(hub, fetch, here, name, content, where):
    hub.repo("o/r", {name: content})
    hub.fault(where, times=None, flip=True)
    with pytest.raises(IntegrityError) as error:
        fetch(f"hf://o/r/{name}")
    assert error.value.exit_code == 10
    assert len([call for call in hub.calls(where) if call.range in (None, f"bytes=0-{len(content) - 1}")]) == 2
    assert fetch.named("file.verified") == fetch.named("file.finished") == []
    assert tree(here) == {}


def test_wrong_bytes_do_not_harm_the_file_that_stands_there(hub, fetch, here):
    hub.repo("o/r", {"big.bin": LARGE})
    (here / "big.bin").write_bytes(b"the old one")
    hub.fault("cdn", times=None, flip=True)
    with pytest.raises(IntegrityError):
        fetch("hf://o/r/big.bin")
    assert tree(here) == {"big.bin": b"the old one"}


def test_one_wrong_file_does_not_take_the_right_ones_along(hub, fetch, here):
    files = {"a.json": b"{}", "big.bin": LARGE}
    hub.repo("o/r", files)
    hub.fault("cdn", times=None, flip=True)
    with pytest.raises(IntegrityError):
        fetch("hf://o/r", "out", recursive=True)
    hub.records.clear()
    hub.site.faults._left.clear()
    fetch("hf://o/r", "out", recursive=True)
    assert tree(here / "out") == files


def test_a_digest_given_is_verified_where_the_origin_tells_none(web, fetch, here):
    link = web.add("model.gguf", LARGE)
    fetch(link, digest=f"sha256:{SHA}")
    assert tree(here) == {"model.gguf": LARGE}
    assert fetch.named("file.verified")[0].digest == f"sha256:{SHA}"


def test_a_digest_given_that_does_not_match_is_an_error(web, fetch, here):
    link = web.add("model.gguf", LARGE)
    with pytest.raises(IntegrityError) as error:
        fetch(link, digest="0" * 64)
    assert (error.value.expected, error.value.actual) == ("0" * 64, SHA)
    assert tree(here) == {}


def test_a_digest_that_the_origin_contradicts_is_refused_before_the_first_byte(hub, fetch, here):
    hub.repo("o/r", {"big.bin": LARGE})
    with pytest.raises(IntegrityError, match="announces another content"):
        fetch("hf://o/r/big.bin", digest="0" * 64)
    assert hub.calls("resolve", "cdn") == []


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha512"])
def test_a_digest_given_may_be_of_another_kind(hub, fetch, here, algorithm):
    hub.repo("o/r", {"big.bin": LARGE})
    fetch("hf://o/r/big.bin", digest=f"{algorithm}:{hashlib.new(algorithm, LARGE).hexdigest()}")
    with pytest.raises(IntegrityError):
        fetch("hf://o/r/big.bin", "other", digest=f"{algorithm}:{hashlib.new(algorithm, b'').hexdigest()}")
    assert tree(here) == {"big.bin": LARGE}


def test_a_digest_for_many_files_is_a_usage_error(hub, fetch):
    hub.repo("o/r", {"big.bin": LARGE})
    with pytest.raises(UsageError, match="one file"):
        fetch("hf://o/r", "out", recursive=True, digest="0" * 64)


def test_a_short_file_with_a_length_that_agrees_is_never_complete(web, fetch, here):
    link = web.add("model.gguf", LARGE)
    web.fault("model.gguf", faults.shorter(10), times=99, when=lambda seen: seen.method == "GET")
    with pytest.raises(OriginUnavailable):
        fetch(link)
    assert "model.gguf" not in tree(here)


def test_a_final_path_shows_the_old_file_or_the_whole_new_one_and_nothing_between(hub, fetch, here):
    hub.repo("o/r", {"big.bin": LARGE})
    final = Path(here / "big.bin")
    final.write_bytes(b"old")
    seen, done = set(), threading.Event()

    def watch() -> None:
        while not done.is_set():
            seen.add(hashlib.sha256(final.read_bytes()).hexdigest())

    watcher = threading.Thread(target=watch)
    watcher.start()
    fetch("hf://o/r/big.bin")
    done.set()
    watcher.join()
    assert seen <= {hashlib.sha256(b"old").hexdigest(), SHA}
