"""What is remembered of snapshots is on the disk at once, but for what grows by the moment: that is, within a few seconds."""

import os
from typing import Any

import attrs
import pytest

from dfly.store.notes import PAUSE, Notes


@attrs.frozen
class Word:
    task: str
    said: str = ""
    used: float = 0.0
    kept: bool = False

    def as_json(self) -> dict[str, Any]:
        return {"task": self.task, "said": self.said}


def read(said: dict[str, Any], *, used: float) -> Word:
    return Word(task=said["task"], said=said["said"], used=used)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "notes")


@pytest.fixture
def notes(folder, clock):
    notes = Notes(folder, read=read, clock=clock)
    yield notes
    notes.close()


def on_disk(folder) -> list[str]:
    return sorted(note.said for note in Notes(folder, read=read).all())


def test_a_note_is_written_at_once(notes, folder):
    notes.keep(Word("a", "first"))
    notes.keep(Word("a", "second"))
    notes.keep(Word("b", "new"), later=True)
    assert on_disk(folder) == ["new", "second"]


def test_one_that_may_be_later_is_not_written_twice_in_a_moment(notes, folder, clock):
    notes.keep(Word("a", "first"), later=True)
    notes.keep(Word("a", "second"), later=True)
    assert notes.get("a").said == "second"
    assert on_disk(folder) == ["first"]
    clock.now += PAUSE
    notes.keep(Word("a", "third"), later=True)
    assert on_disk(folder) == ["third"]


def test_it_is_written_in_the_end(notes, folder):
    notes.keep(Word("a", "first"), later=True)
    notes.keep(Word("a", "second"), later=True)
    notes.close()
    assert on_disk(folder) == ["second"]


def test_it_is_written_though_nothing_more_comes(folder, monkeypatch):
    monkeypatch.setattr("dfly.store.notes.PAUSE", 0.05)
    notes = Notes(folder, read=read, clock=lambda: 100.0)
    with notes.lock:  # so long the timer, which may be quicker than we are, has to wait
        notes.keep(Word("a", "first"), later=True)
        notes.keep(Word("a", "second"), later=True)
        assert on_disk(folder) == ["first"]
        timer = notes._timer
    assert timer is not None
    timer.join(60)
    assert on_disk(folder) == ["second"]


def test_one_that_may_not_wait_takes_what_was_to_be_later_along(notes, folder):
    notes.keep(Word("a", "first"), later=True)
    notes.keep(Word("a", "second"), later=True)
    notes.change("a", kept=True)
    assert on_disk(folder) == ["second"]


def test_what_is_forgotten_before_it_was_written_again_stays_forgotten(notes, folder):
    notes.keep(Word("a", "first"), later=True)
    notes.keep(Word("a", "second"), later=True)
    notes.forget("a")
    notes.close()
    assert os.listdir(folder) == []
