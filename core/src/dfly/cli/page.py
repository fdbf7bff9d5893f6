"""The help page of a command: plain text, its flags in the groups that they name.

typer would draw it with rich, which takes longer than everything else that `dfget --help` does.
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from dfly.cli.sparing import SparingCommand

_NAMES_WIDTH = 28
_WIDEST, _NARROWEST = 110, 50
_OTHERS = "Other"


class PlainHelp(SparingCommand):
    """A command that shows its help as text. `[bold]` in it is bold on a terminal and nothing elsewhere."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the page."""
        width = max(_NARROWEST, min(_WIDEST, shutil.get_terminal_size().columns))
        usage = " ".join([ctx.command_path, *self.collect_usage_pieces(ctx)]).replace("{", "").replace("}", "")
        parameters = self.get_params(ctx)
        arguments = [row for p in parameters if p.param_type_name == "argument" for row in _rows(p, width)]
        parts = [f"[bold]Usage[/bold]: {usage}", *_paragraphs(self.help or "", width), "\n".join(arguments)]
        groups: dict[str, list[str]] = {}
        for parameter in parameters:
            if parameter.param_type_name == "option":
                groups.setdefault(getattr(parameter, "rich_help_panel", None) or _OTHERS, []).extend(
                    _rows(parameter, width)
                )
        # what every command has is looked for last
        for title, rows in sorted(groups.items(), key=lambda group: group[0] == _OTHERS):
            parts.append("\n".join([f"[bold]{title}[/bold]", *rows]))
        formatter.write(_rendered("\n\n".join(filter(None, [*parts, self.epilog])).rstrip() + "\n"))


def _rows(parameter: Any, width: int) -> Iterator[str]:
    names = _names(parameter)
    lines = textwrap.wrap(_told(parameter), width - _NAMES_WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    if len(names) > _NAMES_WIDTH - 4:
        yield f"  {names}"
    else:
        yield f"  {names:<{_NAMES_WIDTH - 2}}{lines.pop(0) if lines else ''}".rstrip()
    yield from (" " * _NAMES_WIDTH + line for line in lines)


def _names(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name)
    value = "" if parameter.is_flag else f" {parameter.metavar or ''}"
    return ", ".join(sorted(parameter.opts, key=len)) + value


def _told(parameter: Any) -> str:
    text = (parameter.help or "").rstrip(".")
    default = parameter.default
    if parameter.param_type_name == "option" and not parameter.is_flag and isinstance(default, int | str) and default:
        text += f" (default: {default})"
    # a plugin's flags name their variables themselves
    return f"{text}. env: {parameter.envvar}" if parameter.envvar else text if " env: " in text else f"{text}."


def _paragraphs(text: str, width: int) -> Iterable[str]:
    for paragraph in text.split("\n\n"):
        yield "\n".join(textwrap.fill(line, width) for line in paragraph.splitlines())


def _rendered(text: str) -> str:
    """What rich would make of the little markup that there is."""
    bold = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    text = text.replace("[bold]", "\x1b[1m" if bold else "").replace("[/bold]", "\x1b[0m" if bold else "")
    return text.replace("\\[", "[")
