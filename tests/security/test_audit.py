"""What the audit of 2023 found in another system, as far as no other test is about it."""

import ast
import errno
import os
import re
from pathlib import Path

import pytest

import dfly
from dfly.errors import OutputError
from dfly.output.place import place
from dfly.output.receipt import matches
from dfly.store.partial import Partial
from dfly.values import Digest, Entry

SIZE = 100


@pytest.fixture
def complete(tmp_path):
    """A partial of which everything has been written."""
    partial = Partial.open(str(tmp_path / "p"), blob="b", size=SIZE, validator="v")
    with partial.writer(0, SIZE) as writer:
        writer.write(bytes(SIZE))
    return partial


def test_what_a_close_says_is_heard_and_vouched_for_by_nobody(complete, tmp_path, monkeypatch):
    """A network file system may say only then that the disk is full."""
    close, data, final = os.close, complete.fd, str(tmp_path / "out" / "model.bin")

    def failing(fd):
        close(fd)
        if fd == data:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")

    entry = Entry(path="model.bin", size=SIZE, url="u", identity="i", digests=(Digest("sha256", "0" * 64),))
    monkeypatch.setattr("dfly.store.lock.os.close", failing)
    with pytest.raises(OutputError, match="quota"):
        place(complete.commit, final, entry=entry)
    monkeypatch.undo()
    assert not matches(final, entry)


def test_nothing_is_unpacked_and_nothing_that_runs_is_read():
    """So no name in an archive can lead anywhere, and no pickle does what it says."""
    openers = re.compile(r"\b(?:tarfile|zipfile|unpack_archive|pickle|marshal|shelve|yaml)\b|\beval\(|\bexec\(")
    sources = Path(dfly.__file__).parents[3]
    modules = [*sources.glob("core/src/**/*.py"), *sources.glob("plugins/*/src/**/*.py")]
    assert len(modules) > 100
    for path in modules:
        code = "\n".join(ast.unparse(node) for node in _code(ast.parse(path.read_text())))
        assert not openers.search(code), path


def _code(tree):
    """The statements, without docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value = ast.Constant(None)
    return tree.body
