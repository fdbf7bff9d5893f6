"""Every promise of a backend by the name that a failure shows in brackets, in the order in which a reader meets them.

`docs/plugins.md` lists them with what the kit says when they are broken; both are held to this table by tests.
"""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["PROMISES"]

PROMISES: Mapping[str, str] = MappingProxyType(
    {
        "schemes": "Schemes are lower-case words, the canonical one first.",
        "entry-point": "The distribution names its module in the group `dfly`, once for each scheme.",
        "options.flags": "Every option has a flag and variables of its own, and a help text.",
        "options.defaults": "A user without settings gets the public origin, or an error that says what to set.",
        "options.secret": "A token is a `Secret`, and shows itself nowhere.",
        "stat.path": "`Entry.path` from `stat` is the file's own name.",
        "stat.not-a-file": "`stat` of a repository, folder or prefix raises `NotAFile`, so that dfget can say `-r`.",
        "stat.repeatable": "The same file gives the same entry, by the user's URL and by its own, on every machine.",
        "stat.fresh": "Changed content is another blob.",
        "entry.size": "A size is that of the bytes; where the origin does not tell it, it is None.",
        "entry.digests": "A digest is of the whole plain content.",
        "entry.url": "`Entry.url` is written in the plugin's own scheme.",
        "entry.identity": "One place has one identity, whoever asks and whatever the revision.",
        "list.complete": "A listing is whole, or an error.",
        "list.relative": "Paths are relative to what the URL names.",
        "list.safe": "Paths can be written below a folder of the user's.",
        "list.pinned": "`Snapshot.source` resolves to the same snapshot tomorrow.",
        "list.one-file": "`list` of one file's URL is that file.",
        "list.same-as-stat": "An entry of a listing is what `stat` of its URL gives.",
        "list.bytes": "An entry of a listing leads to its bytes.",
        "snapshot.name": "`Snapshot.name` can be the name of a file or folder.",
        "covers": "A snapshot covers its own source and no more than it holds, and nobody is asked.",
        "cache": "A cache has one place for each file, below its own folder, named after the content.",
        "get.exact": "`get` yields the bytes from `start` to before `stop`, all of them and no others.",
        "get.to-the-end": "`get` without `stop` reads from `start` to the end.",
        "get.empty": "An empty file has no bytes, and is no error.",
        "get.chunks": "What `get` yields is `bytes`.",
        "get.threads": "Readers of one instance do not disturb each other.",
        "get.abandon": "A reader may be closed at any byte.",
        "get.pinned": "Old and new content are never mixed: the pinned bytes come, or `Changed` is raised.",
        "locate": "A request is a web URL with plain headers; ranges and conditions are the core's.",
        "errors.tree": "Whatever is typed, errors are from `dfly.errors` and say something.",
        "errors.not-found": "What is not there is `NotFound`, from `stat` and from `list`.",
        "errors.not-found-kind": "`NotFound.kind` says what is missing: repository, revision or file.",
        "errors.denied": "A closed door is `AccessDenied`, with a hint at what opens it.",
        "exists": "`exists` answers, and does not raise, for what is merely not there.",
        "authorize": "`authorize` asks the origin, with these credentials, each time.",
        "secrets": "No secret is in what travels to other machines or is printed.",
        "put": "What was put can be read; a backend that only reads says `Unsupported`.",
        "close": "`close` may be called twice.",
    }
)
