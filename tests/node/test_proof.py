"""An output counts as there only with a proof: what the origin tells of its content, and what the user demands of it."""

import hashlib

import pytest

from dfly.node.proof import already_there, promised
from dfly.output.plan import Target
from dfly.values import Digest, Entry

DATA = b"the content"
RIGHT = Digest("sha256", hashlib.sha256(DATA).hexdigest())
WRONG = Digest("sha256", "0" * 64)
MD5 = Digest("md5", hashlib.md5(DATA).hexdigest())


@pytest.fixture
def target(tmp_path):
    def build(*told, demanded=None):
        path = tmp_path / "f"
        path.write_bytes(DATA)
        entry = Entry(path="f", size=len(DATA), url="g://h@1/f", identity="g://h/f", digests=told)
        return Target(entry, str(path), demanded=demanded)

    return build


def test_a_file_of_which_nobody_tells_anything_is_never_there(target):
    assert not already_there(target())


def test_a_file_with_the_digest_that_the_origin_tells_is_there(target):
    assert already_there(target(RIGHT))
    assert not already_there(target(WRONG))


def test_what_the_user_demands_is_proof_enough_where_the_origin_tells_nothing(target):
    assert already_there(target(demanded=RIGHT))
    assert not already_there(target(demanded=WRONG))


@pytest.mark.parametrize(("told", "demanded"), [(MD5, WRONG), (Digest("md5", "0" * 32), RIGHT)], ids=["user", "origin"])
def test_what_the_user_demands_and_what_the_origin_tells_must_both_hold(target, told, demanded):
    assert already_there(target(MD5, demanded=RIGHT))
    assert not already_there(target(told, demanded=demanded))


def test_a_link_is_no_output_of_ours(target, tmp_path):
    right = target(demanded=RIGHT)
    (tmp_path / "elsewhere").write_bytes(DATA)
    (tmp_path / "f").unlink()
    (tmp_path / "f").symlink_to(tmp_path / "elsewhere")
    assert not already_there(right)


def test_bytes_are_held_against_the_strongest_digest_and_the_demanded_one(target):
    assert promised(target(MD5, RIGHT)) == (RIGHT,)
    assert promised(target(MD5, demanded=RIGHT)) == (MD5, RIGHT)
    assert promised(target(RIGHT, demanded=RIGHT)) == (RIGHT,)
    assert promised(target()) == ()
