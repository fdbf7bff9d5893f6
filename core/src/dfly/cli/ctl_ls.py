"""`dfctl ls`: which snapshots a daemon or a seed peer keeps, and how much of each is there."""

import sys
import time
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from dfly.cli.columns import table
from dfly.cli.desk import CaFile, Json, SeedPeerUrl, TokenFile, at_desk, written
from dfly.cli.units import count_text, duration_text, size_text

Blobs = Annotated[bool, typer.Option("--blobs", help="The blobs of each as well.")]

#: Digits of an id: enough to name one of many.
_DIGITS = 8
_HEADINGS = ("ID", ">SIZE", ">FILES", "HERE", ">AGE", ">USED", "MARKS", "REVISION", "SOURCE")


def ls(
    blobs: Blobs = False,  # noqa: FBT002 - typer calls it by name
    seed_peer: SeedPeerUrl = None,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    json: Json = False,  # noqa: FBT002 - as above
) -> int:
    """Show the snapshots that are kept, the latest used first: source, revision, size, age, and whether they are complete."""
    with at_desk(seed_peer, token_file, ca_file) as desk:
        found = desk.get("snapshots", **({"blobs": "1"} if blobs else {}))
    rows = sorted(found["snapshots"], key=lambda row: -float(row["used"]))
    if json:
        sys.stdout.write(written({"snapshots": rows}))
    elif not rows:
        sys.stdout.write("nothing is kept yet\n")
    elif blobs:
        for row in rows:
            sys.stdout.write(table(_HEADINGS, [_cells(row)]) + _contents(row) + "\n")
    else:
        total = sum(row["bytes"] for row in rows)
        sys.stdout.write(table(_HEADINGS, map(_cells, rows)))
        sys.stdout.write(f"{count_text(len(rows), 'snapshot')}, {size_text(total)} in all\n")
    return 0


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    marks = [name for name in ("pinned", "imported") if row[name]] + ([] if row["public"] else ["private"])
    return (
        row["task"][:_DIGITS],
        size_text(row["bytes"]),
        f"{row['files']:,}",
        "all" if row["complete"] else f"{row['here']:,} of {row['blobs']:,}",
        _ago(row["resolved"]),
        _ago(row["used"]),
        ",".join(marks) or "-",
        _revision(row),
        row["url"],
    )


def _contents(row: Mapping[str, Any]) -> str:
    return table(
        (">SIZE", "HERE", "BLOB", "FILE"),
        [
            (
                "?" if blob["bytes"] is None else size_text(blob["bytes"]),
                "yes" if blob["here"] else "no",
                blob["blob"],
                blob["files"][0] + (f" and {len(blob['files']) - 1} more" if len(blob["files"]) > 1 else ""),
            )
            for blob in row["contents"]
        ],
        indent="    ",
    )


def _revision(row: Mapping[str, Any]) -> str:
    """The first digits of a commit, and what it was asked for as."""
    names = ",".join(row["revisions"])
    return (row["revision"] or "-")[:12] + (f" ({names})" if names else "")


def _ago(at: float) -> str:
    return duration_text(round(max(0.0, time.time() - at))) if at else "?"
