"""The control plane's messages: what a node and a seed peer say to each other, as frozen values with a JSON form.

Nothing parsed from the wire is used without passing through here: every message has a schema and a size cap, unknown fields
are ignored (a newer peer may send them), missing ones are an error that names the field.

    POST /v1/snapshots                    Ask          → Resolved
    GET  /v1/snapshots/{task}/events      Join (query) → NDJSON of Message
    POST /v1/snapshots/{task}/report      Report       → Advice
    POST /v1/snapshots/{task}/have        Have         → how many were believed
    GET  /v1/snapshots/{task}/hashes/{blob}            → 20 bytes a piece, of a complete blob
    GET  /v1/blobs/{grant}/{blob}                      → the web seed

What a node is sent for before anyone asks it is in `dfly.wire.errands`.

A *task* is a selection of a snapshot's entries: all nodes that ask for the same selection meet in one ring. Its id is the id of
the selected snapshot, with a random tail where its content is not pinned.
"""

from dfly.wire.errands import Choice, Errand, ErrandReport, Preheat, decode_errand
from dfly.wire.events import (
    LONGEST_LINE,
    Blob,
    Doubted,
    EntryDuty,
    Failed,
    Heartbeat,
    Hello,
    Message,
    Needs,
    Outsider,
    Released,
    Ring,
    Segment,
    decode_message,
)
from dfly.wire.fields import LONGEST_BODY, Address, WireError
from dfly.wire.requests import (
    LONGEST_CARRIED,
    LONGEST_SNAPSHOT,
    MOST_HELD,
    WIRE_VERSION,
    Advice,
    Ask,
    Have,
    Report,
    Resolved,
)
from dfly.wire.snapshots import snapshot_from_json, snapshot_to_json

__all__ = [
    "LONGEST_BODY",
    "LONGEST_CARRIED",
    "LONGEST_LINE",
    "LONGEST_SNAPSHOT",
    "MOST_HELD",
    "OPTION_HEADER",
    "TICKET_HEADER",
    "WIRE_VERSION",
    "Address",
    "Advice",
    "Ask",
    "Blob",
    "Choice",
    "Doubted",
    "EntryDuty",
    "Errand",
    "ErrandReport",
    "Failed",
    "Have",
    "Heartbeat",
    "Hello",
    "Message",
    "Needs",
    "Outsider",
    "Preheat",
    "Released",
    "Report",
    "Resolved",
    "Ring",
    "Segment",
    "WireError",
    "decode_errand",
    "decode_message",
    "snapshot_from_json",
    "snapshot_to_json",
]

#: Prefix of the headers that carry backend options: X-Dfly-Option-<flag without dashes>, for example …-gopher-token.
OPTION_HEADER = "X-Dfly-Option-"
#: With it a node shows the ticket of a private task where it asks for the event stream.
TICKET_HEADER = "X-Dfly-Ticket"
