"""Integer width: libtorrent's rates are int32 and wrap above 2.1 GB/s, so none is read."""

import re
from pathlib import Path

import dfly
from dfly.layout import Layout
from dfly.swarm.metainfo import segment_info
from dfly.swarm.traffic import Ledger

SOURCES = Path(dfly.__file__).parent
TB = 1 << 40


class Status:
    """Totals as 64-bit as libtorrent has them; anything else that is read is an error."""

    total_payload_download = 5 * TB
    total_payload_upload = 6 * TB
    total_failed_bytes = 3 << 31
    total_redundant_bytes = 1
    total_wanted_done = 5 * TB
    total_wanted = 7 * TB
    num_peers = 3


def test_no_rate_of_libtorrent_is_read():
    rates = re.compile(r"\b(download|upload)(_payload)?_rate\b|payload_(up|down)_speed|\b(up|down)_speed\b")
    for path in (SOURCES / "swarm").rglob("*.py"):
        assert not rates.search(path.read_text().replace("upload_rate_limit", "")), path


def test_totals_beyond_32_bits_are_kept():
    ledger = Ledger()
    ledger.record_status(Status())
    traffic = ledger.traffic()
    assert (traffic.downloaded, traffic.uploaded, traffic.wanted) == (5 * TB, 6 * TB, 7 * TB)
    assert traffic.wasted == (3 << 31) + 1


def test_a_blob_beyond_32_bits_is_cut_and_described_whole():
    layout = Layout(3 * TB)
    last = layout.segments - 1
    assert layout.segment_range(last)[1] == 3 * TB
    hashes = bytes(20 * len(layout.segment_pieces(last)))
    assert b"6:lengthi%de" % (3 * TB) in segment_info("sha256-00", layout, last, hashes)
