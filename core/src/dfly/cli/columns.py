"""Tables as plain text: columns as wide as what is in them, two spaces apart, numbers to the right."""

from collections.abc import Iterable, Sequence

from dfly.cli.units import printable


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, indent: str = "") -> str:
    """Lines under `headings`, a heading that begins with ">" above what stands to the right; "" where there is no row.

    >>> print(table(("NAME", ">SIZE"), [("a", "5 B"), ("model", "12 kB")]), end="")
    NAME    SIZE
    a        5 B
    model  12 kB
    """
    cells = [[printable(cell).replace("\n", " ") for cell in row] for row in rows]
    if not cells:
        return ""
    cells.insert(0, [heading.removeprefix(">") for heading in headings])
    widths = [max(len(row[at]) for row in cells) for at in range(len(headings))]
    right = [heading.startswith(">") for heading in headings]
    lines = []
    for row in cells:
        columns = zip(row, widths, right, strict=True)
        padded = (cell.rjust(width) if to_right else cell.ljust(width) for cell, width, to_right in columns)
        lines.append((indent + "  ".join(padded)).rstrip() + "\n")
    return "".join(lines)
