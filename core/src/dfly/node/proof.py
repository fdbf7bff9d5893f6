"""What proves an output right: its receipt, what the origin tells of its content, and what the user demands of it."""

import os

from dfly.output.plan import Target
from dfly.output.receipt import matches
from dfly.store.hashing import hash_file, pick
from dfly.values import Digest


def already_there(target: Target) -> bool:
    """Whether the output is in place and right: by its receipt or by hashing it, and as the user demands."""
    entry, demanded = target.entry, target.demanded
    if demanded is None or demanded in entry.digests:
        return matches(target.path, entry, hash_file=hash_file)
    try:
        if os.path.islink(target.path) or not hash_file(target.path, demanded):
            return False
    except OSError:
        return False
    # where the origin tells nothing, the user has said it all
    return not entry.digests or matches(target.path, entry, hash_file=hash_file)


def promised(target: Target) -> tuple[Digest, ...]:
    """What the bytes are held against: the strongest digest that the origin tells, and what the user demands."""
    told = pick(target.entry.digests)
    return tuple(dict.fromkeys(digest for digest in (told, target.demanded) if digest is not None))
