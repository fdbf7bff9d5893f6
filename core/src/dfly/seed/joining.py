"""Who opens an event stream, and where other nodes can dial it: read from the query of `GET …/events`."""

import re
from collections.abc import Mapping

import attrs

from dfly.seed.access import plain_ip
from dfly.wire import Address, WireError

_NODE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST_LOCATION, _MOST_ADVERTISED = 256, 8


@attrs.frozen(kw_only=True)
class Join:
    """`addresses` begins with the one the node was seen at; empty where it cannot be dialled. `after` is "epoch.seq".

    `control` is where it would stand in for the seed peer, None where it would not.
    """

    node: str
    addresses: tuple[Address, ...]
    location: str = ""
    after: str = ""
    control: Address | None = None

    @classmethod
    def read(cls, query: Mapping[str, str], *, remote: str | None) -> "Join":
        """`node`, `port` (0: does not listen), `advertise` (hosts or host:port, with commas), `location`, `after`, and `control`
        (a port; 0: would not stand in).

        Raises WireError.
        """
        node, location, port = query.get("node", ""), query.get("location", ""), query.get("port", "0")
        if not _NODE.fullmatch(node):
            raise WireError("'node' is not 1 to 64 letters, digits, dots or dashes")
        if len(location) > _LONGEST_LOCATION or not location.isprintable():
            raise WireError("'location' is too long or not printable")
        advertised = [text for text in query.get("advertise", "").split(",") if text]
        if len(advertised) > _MOST_ADVERTISED:
            raise WireError(f"'advertise' names more than {_MOST_ADVERTISED} addresses")
        number = _port(port)
        addresses = [(str(plain_ip(remote)), number)] if remote and number else []
        addresses += [address for text in advertised if (address := _address(text, number))[1]]
        control = _port(query.get("control", "0"))
        return cls(
            node=node,
            addresses=tuple(dict.fromkeys(addresses)),
            location=location,
            after=query.get("after", ""),
            control=(str(plain_ip(remote)), control) if remote and control else None,
        )


def _address(text: str, port: int) -> Address:
    """`host`, `host:port`, `v6` or `[v6]:port`; only IP addresses, as nodes filter by them."""
    bracketed = re.fullmatch(r"\[([^\]]+)\](?::(\d+))?", text)
    if bracketed:
        host, own = bracketed[1], bracketed[2]
    elif text.count(":") == 1:
        host, _, own = text.partition(":")
    else:
        host, own = text, None
    try:
        return str(plain_ip(host)), port if own is None else _port(own)
    except ValueError as error:
        raise WireError(f"'advertise': {text[:60]!r} is not an IP address") from error


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) < 65536):
        raise WireError("a port is out of range")
    return int(text)
