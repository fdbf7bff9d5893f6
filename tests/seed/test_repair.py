"""A segment that is being repaired is kept back, and comes back as soon as its bytes are right, whoever made them so."""

import hashlib

import pytest

from dfly.errors import OriginUnavailable
from dfly.layout import Layout
from dfly.seed.mending import Suspect
from dfly.seed.publication import Publication
from dfly.seed.repair import Repairs

from .located import Ear, file_entry
from .rigs import content

SIZE = 3 * Layout(1).segment_length
DATA, LAYOUT = content(SIZE), Layout(SIZE)
SPAN = LAYOUT.segment_range(1)
HASHES = b"".join(hashlib.sha1(DATA[slice(*LAYOUT.piece_range(piece))]).digest() for piece in LAYOUT.segment_pieces(1))


class Away:
    """An intake whose hub cannot be reached."""

    def bring(self, order) -> None:
        order.finished(OriginUnavailable("the hub is away"))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "data"
    path.write_bytes(DATA[: SPAN[0] + 5] + bytes([DATA[SPAN[0] + 5] ^ 1]) + DATA[SPAN[0] + 6 :])
    return path


@pytest.fixture
def suspect(file):
    """Segment 1 of a blob of which the rest has not come yet; the disk has changed it."""
    publication = Publication("b", Ear(), audible=False)
    publication.place(str(file), SIZE)
    publication.segment(1, HASHES, size=SIZE)
    return Suspect(publication=publication, index=1, hashes=HASHES, entry=file_entry("f", DATA, ""), backend=None)


@pytest.fixture
def repairs():
    return Repairs(intake=Away(), later=lambda step: step(), lost=lambda publication, error: None)


def test_what_could_not_be_repaired_stays_back_until_it_is_found_right(repairs, suspect, file):
    assert suspect.publication.readable(*SPAN)
    repairs.look(suspect)
    assert not suspect.publication.readable(*SPAN)
    file.write_bytes(DATA)
    repairs.look(suspect)
    assert suspect.publication.readable(*SPAN)


def test_a_blob_that_is_right_as_a_whole_keeps_nothing_back(repairs, suspect, file):
    repairs.look(suspect)
    file.write_bytes(DATA)
    suspect.publication.finish(str(file), SIZE, hashlib.sha256(DATA).hexdigest())
    assert suspect.publication.readable(*SPAN)
