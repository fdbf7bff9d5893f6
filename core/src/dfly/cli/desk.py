"""Whom dfctl asks: the node daemon of this machine, or with --seed-peer a seed peer. Both answer the same paths.

What is brought to seed peers (`preheat`, `import`) may be told to several of them.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import attrs
import typer

from dfly.cli.flags import seed_peer_flag
from dfly.cli.secrets import secret_from
from dfly.config import Network, is_set
from dfly.errors import DflyError, UsageError
from dfly.seed.faces import OPERATOR
from dfly.values import bare_url

if TYPE_CHECKING:
    import httpx

#: Seconds for what reads a whole cache, or waits for a whole model.
LONG = 86400.0

SeedPeerUrl = Annotated[
    str | None,
    seed_peer_flag("Ask this seed peer; without it, the node daemon of this machine."),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--operator-token-file",
        metavar="FILE",
        envvar="DFLY_OPERATOR_TOKEN_FILE",
        exists=True,
        dir_okay=False,
        help="What the seed peer asks of operators; or in DFLY_OPERATOR_TOKEN, else DFLY_CLUSTER_TOKEN.",
    ),
]
CaFile = Annotated[
    Path | None,
    typer.Option(
        "--ca-file",
        metavar="PEM",
        envvar="DFLY_CA_FILE",
        exists=True,
        dir_okay=False,
        help="Authorities to trust for the seed peer's certificate besides the usual ones.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="The answer as JSON, on standard output.")]


class NoAnswer(UsageError):
    """Nobody answers there, or what answers is neither a daemon nor a seed peer: another one may be asked."""


def kind_of(error: DflyError) -> str:
    """What an error is called in `dfly.errors`: which other one may be asked matters to nobody but this command."""
    return UsageError.__name__ if isinstance(error, NoAnswer) else type(error).__name__


@attrs.frozen(kw_only=True)
class Desk:
    """One of them, and how it is reached. `what` names it in messages."""

    client: "httpx.Client" = attrs.field(repr=False)
    url: str
    what: str

    def plugins(self) -> Any:
        """What a seed peer tells its nodes of its plugins."""
        with self.stream("GET", "plugins", below="/v1/") as response:
            return json.loads(response.read())

    def get(self, path: str, **query: str) -> Any:
        """The JSON at an operator's path ("snapshots"). Raises what the other side raised."""
        return self._answer("GET", path, params=query)

    def post(self, path: str, said: Any = None) -> Any:
        """The JSON that a change is answered with."""
        return self._answer("POST", path, json=said)

    def lines(self, method: str, path: str, **more: Any) -> Iterator[Any]:
        """A stream of JSON lines."""
        with self.stream(method, path, **more) as response:
            for line in response.iter_lines():
                if line:
                    yield json.loads(line)

    @contextmanager
    def stream(self, method: str, path: str, *, below: str = OPERATOR, **more: Any) -> "Iterator[httpx.Response]":
        """An open answer, whose status was good."""
        import httpx

        from dfly.node.revival import revive

        try:
            with self.client.stream(method, f"{self.url}{below}{path}", **more) as response:
                if response.status_code >= 400:
                    try:
                        said = json.loads(response.read())
                        error = revive(str(said["error"]), str(said["message"]), str(said.get("hint", "")), said)
                    except (ValueError, KeyError, TypeError):
                        error = NoAnswer(
                            f"{self.what} answered {response.status_code}, and not as a seed peer does",
                            hint="dfdaemon --seed-peer says its address when it starts",
                        )
                    raise error
                yield response
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoAnswer(f"{self.what} does not answer: {error}", hint=_hint(str(error))) from error

    def _answer(self, method: str, path: str, **more: Any) -> Any:
        with self.stream(method, path, **more) as response:
            return json.loads(response.read())


@contextmanager
def at_desk(seed_peer: str | None, token_file: Path | None = None, ca_file: Path | None = None) -> Iterator[Desk]:
    """The seed peer at this URL, else this machine's daemon. Raises UsageError where there is none."""
    import httpx

    if seed_peer is None:
        from dfly.daemon.finding import candidates, find

        where = find()
        if where is None:
            raise UsageError(
                f"no daemon that this user can trust listens at {' or '.join(candidates())}",
                hint="is dfdaemon running? DFLY_SOCKET says where, if not at its usual place; --seed-peer asks a seed peer",
            )
        timeout = httpx.Timeout(10.0, read=LONG)
        with httpx.Client(transport=httpx.HTTPTransport(uds=where), timeout=timeout) as client:
            yield Desk(client=client, url="http://node", what=f"the daemon at {where}")
        return
    with at_desks((seed_peer,), token_file, ca_file) as (desk,):
        yield desk


@contextmanager
def at_desks(
    seed_peers: Sequence[str], token_file: Path | None = None, ca_file: Path | None = None
) -> Iterator[list[Desk]]:
    """The seed peers at these URLs, in this order; none of them is asked yet. Raises UsageError for the token."""
    import httpx

    from dfly.origin.client import tls_context

    token = _token(token_file)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    for url in seed_peers:
        _require_private(url, token)
    context = tls_context(Network(ca_file=str(ca_file) if ca_file else None))
    timeout = httpx.Timeout(10.0, read=LONG)
    with httpx.Client(verify=context, headers=headers, timeout=timeout, trust_env=False) as client:
        yield [Desk(client=client, url=url, what=f"the seed peer {bare_url(url)}") for url in seed_peers]


def written(said: Any) -> str:
    """An answer as one line of JSON."""
    return json.dumps(said) + "\n"


def _hint(error: str) -> str:
    """What to look at where a question failed like this."""
    if "CERTIFICATE_VERIFY_FAILED" in error:
        return "--ca-file names the authority that signed its certificate, if that is not a usual one"
    if "SSL" in error:
        return "is it running with --tls-cert? without, write http://"
    # a server that expects TLS hangs up on anything else
    return "is it running?" + (" with --tls-cert, write https://" if "disconnected" in error else "")


def _token(file: Path | None) -> str:
    given = secret_from(file, "DFLY_OPERATOR_TOKEN", what="operator token")
    given = given or secret_from(None, "DFLY_CLUSTER_TOKEN", what="cluster token")
    return given.reveal().strip() if given else ""


def _require_private(url: str, token: str) -> None:
    from dfly.node.control import is_private

    if token and not is_private(url) and not is_set(os.environ, "DFLY_INSECURE"):
        raise UsageError(
            f"the seed peer {bare_url(url)} is reached over plain HTTP: the token would be readable on the way",
            hint="use https:// (and --ca-file), or set DFLY_INSECURE=1 if the network is trusted",
        )
