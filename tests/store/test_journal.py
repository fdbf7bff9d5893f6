"""What a journal gives back after a crash at any byte, and which of its lines a power loss leaves standing."""

import os

import attrs
import pytest

from dfly.store.journal import Header, Journal, Record, read

HEADER = Header(blob="sha256-b", size=40 << 20, validator="v1")
PIECES = bytes(range(40))


@pytest.fixture
def journal(tmp_path):
    made = []

    def make(**given):
        made.append(Journal(str(tmp_path / "journal"), HEADER, boot="boot-a", **given))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_what_is_appended_is_read_back(tmp_path, journal):
    one = journal()
    one.append(2, PIECES, length=1)
    one.append(0, b"", length=1)
    assert read(str(tmp_path / "journal"), HEADER) == ("boot-a", (Record(2, PIECES), Record(0)), ())


def test_a_journal_torn_at_any_byte_gives_the_lines_before(tmp_path, journal):
    one = journal()
    for segment in range(3):
        one.append(segment, PIECES, length=1)
    whole = (tmp_path / "journal").read_bytes()
    lines = whole.count(b"\n")
    assert lines == 4
    for stop in range(len(whole) + 1):
        (tmp_path / "torn").write_bytes(whole[:stop])
        _, records, _ = read(str(tmp_path / "torn"), HEADER)
        assert [r.segment for r in records] == list(range(max(0, whole[:stop].count(b"\n") - 1)))


@pytest.mark.parametrize(
    "garbage",
    [b"\0" * 40 + b"\n", b"[]\n", b'{"segment": "1", "pieces": ""}\n', b'{"segment":1,"pieces":"*"}\n'],
)
def test_nothing_after_a_line_without_sense_counts(tmp_path, journal, garbage):
    one = journal()
    one.append(0, b"", length=1)
    with (tmp_path / "journal").open("ab") as file:
        file.write(garbage)
    one.append(1, b"", length=1)
    assert [r.segment for r in read(str(tmp_path / "journal"), HEADER)[1]] == [0]


@pytest.mark.parametrize(
    "other",
    [{"blob": "sha256-c"}, {"size": 41 << 20}, {"validator": "v2"}, {"validator": None}, {"layout": 1}, {"format": 2}],
)
def test_a_journal_about_something_else_says_nothing(tmp_path, journal, other):
    journal().append(0, b"", length=1)
    assert read(str(tmp_path / "journal"), attrs.evolve(HEADER, **other)) == ("", (), ())


def test_only_what_was_appended_before_a_sync_began_is_synced(tmp_path, journal):
    synced = []

    def sync(fd):
        if not synced:  # another thread finishes a segment while the disk is busy
            one.append(1, b"", length=1)
        synced.append(fd)

    one = journal(sync_bytes=1, sync=sync)
    one.append(0, b"", length=1)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert one.sync_if_due(fd)
    finally:
        os.close(fd)
    assert synced[0] == fd
    assert len(synced) == 2
    assert [(r.segment, r.synced) for r in read(str(tmp_path / "journal"), HEADER)[1]] == [(0, True), (1, False)]


def test_it_is_time_to_sync_after_so_many_bytes_or_seconds(journal):
    many_bytes = journal(sync_bytes=10, sync_seconds=1e9, sync=lambda fd: None)
    many_bytes.append(0, b"", length=9)
    assert not many_bytes.sync_if_due(0)
    many_bytes.append(1, b"", length=1)
    assert many_bytes.sync_if_due(0)
    assert not many_bytes.sync_if_due(0)
    assert journal(sync_bytes=10, sync_seconds=0, sync=lambda fd: None).sync_if_due(0)


def test_records_carried_over_keep_their_word_about_the_disk(tmp_path, journal):
    journal(records=[Record(5), Record(1, PIECES, synced=True)])
    assert read(str(tmp_path / "journal"), HEADER)[1] == (Record(1, PIECES, synced=True), Record(5))


def test_a_restarted_journal_is_empty_and_goes_on(tmp_path, journal):
    one = journal(records=[Record(1, synced=True)])
    one.restart()
    assert read(str(tmp_path / "journal"), HEADER) == ("boot-a", (), ())
    one.append(3, b"", length=1)
    assert read(str(tmp_path / "journal"), HEADER)[1] == (Record(3),)


def test_a_journal_never_removes_another_one_at_its_path(tmp_path, journal):
    old = journal()
    journal().append(7, b"", length=1)
    old.unlink()
    assert read(str(tmp_path / "journal"), HEADER)[1] == (Record(7),)


def test_a_line_that_the_disk_had_no_room_for_leaves_no_half(tmp_path):
    from resource import RLIM_INFINITY, RLIMIT_FSIZE, setrlimit

    pid = os.fork()  # a file size limit cuts a write as a full disk does; it is for a whole process
    if not pid:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        try:
            one = Journal(str(tmp_path / "journal"), HEADER, boot="boot-a")
            room = os.stat(tmp_path / "journal").st_size + 10
            setrlimit(RLIMIT_FSIZE, (room, RLIM_INFINITY))
            try:
                one.append(0, PIECES, length=1)
            except OSError:
                setrlimit(RLIMIT_FSIZE, (RLIM_INFINITY, RLIM_INFINITY))
                one.append(1, PIECES, length=1)
                os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    assert read(str(tmp_path / "journal"), HEADER)[1] == (Record(1, PIECES),)
