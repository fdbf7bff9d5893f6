"""The web seed of stock clients: a complete file with HTTP's ordinary ranges, and nothing else."""

import httpx
import libtorrent as lt
import pytest

from tests.interop.conftest import FILES

MODEL = FILES["model.bin"]
SIZE = len(MODEL)


@pytest.fixture
def url(site):
    here = site()
    here.node()()
    return lt.load_torrent_file(str(here.torrents()["model.bin"])).url_seeds[0]


def get(url, **headers):
    return httpx.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()}, trust_env=False)


def test_ranges_are_as_everywhere(url):
    whole = get(url)
    assert (whole.status_code, whole.content) == (200, MODEL)
    assert whole.headers["Accept-Ranges"] == "bytes"
    for asked, start, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=5-1000000", 5, 1000001),
        ("bytes=3000000-", 3000000, SIZE),
        ("bytes=-7", SIZE - 7, SIZE),
        (f"bytes=10-{SIZE * 2}", 10, SIZE),
        (f"bytes=-{SIZE * 2}", 0, SIZE),
    ):
        answer = get(url, Range=asked)
        assert (answer.status_code, answer.content) == (206, MODEL[start:stop])
        assert answer.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{SIZE}"
    assert get(url, Range=f"bytes={SIZE}-").status_code == 416
    assert get(url, Range=f"bytes={SIZE}-").headers["Content-Range"] == f"bytes */{SIZE}"
    for strange in ("bytes=0-1,5-9", "lines=0-1", "bytes=9-3"):
        assert len(get(url, Range=strange).content) == SIZE


def test_a_range_of_other_content_is_all_of_this(url):
    tag = get(url, Range="bytes=0-0").headers["ETag"]
    assert get(url, Range="bytes=0-0", If_Range=tag).status_code == 206
    assert get(url, Range="bytes=0-0", If_Range='"other"').content == MODEL


def test_head_tells_the_size_and_sends_nothing(url):
    answer = httpx.head(url, trust_env=False)
    assert (answer.status_code, answer.headers["Content-Length"], answer.content) == (200, str(SIZE), b"")


def test_what_is_not_whole_any_more_is_not_there(site):
    here = site()
    here.node()()
    url = lt.load_torrent_file(str(here.torrents()["model.bin"])).url_seeds[0]
    kept = max((here.folder / "seed/blobs").rglob("data"), key=lambda path: path.stat().st_size)
    (kept.parent / "meta").unlink()
    assert get(url).status_code == 404
