"""Flags that plugins declare: which plugins a command line needs, and their options as parameters of a command.

typer reads a function's signature; so the command gets one with the plugins' options appended, and core names no hub.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin

import attrs
import typer

from dfly.backend import Backend, OptionField, option_fields
from dfly.plugins import Plugins

#: Backend options by prefix and field, as `dfly.fetch` takes them.
Options = dict[str, dict[str, str | tuple[str, ...]]]

#: What fits above a panel on a terminal of 80 columns.
_WIDEST_TITLE = 72


def source_urls(argv: Sequence[str], switches: Iterable[str]) -> list[str]:
    """The source URLs on a command line that is not parsed yet. `switches` are the flags without a value.

    >>> source_urls(["-r", "a://b", "--proxy", "http://c", "--x-endpoint=http://d"], {"-r"})
    ['a://b']
    """
    known = set(switches)
    found: list[str] = []
    takes_value = False
    for position, word in enumerate(argv):
        if word == "--":
            return found + [rest for rest in argv[position + 1 :] if "://" in rest]
        if word.startswith("-") and word != "-":
            takes_value = "=" not in word and word not in known
        else:
            if "://" in word and not takes_value:
                found.append(word)
            takes_value = False
    return found


def needed_backends(
    argv: Sequence[str], plugins: Plugins, *, switches: Iterable[str], everything: bool
) -> list[type[Backend]]:
    """The backend classes whose flags a command line may have: its URLs', or all where it has none or for `everything`.

    Raises UnknownScheme and PluginError for a URL that no plugin can serve.
    """
    urls = [] if everything else source_urls(argv, switches)
    classes = [plugins.backend_for(url) for url in urls] or list(plugins.load_all().values())
    return list(dict.fromkeys(classes))


@attrs.frozen
class PluginFlags:
    """The flags of some backends. `taken` are the flags that core has; a plugin does not get those."""

    fields: Mapping[str, tuple[str, OptionField]]
    parameters: tuple[inspect.Parameter, ...]

    @classmethod
    def of(cls, backends: Iterable[type[Backend]], *, taken: Iterable[str]) -> "PluginFlags":
        """Collect the options of `backends`; where two want one flag, the first has it."""
        used, fields, parameters = set(taken), {}, []
        for backend in backends:
            prefix = backend.prefix or backend.schemes[0]
            for field in option_fields(backend):
                flags = [flag for flag in (field.flag, *field.flags) if flag not in used]
                if not flags:
                    continue
                used.update(flags)
                name = f"plugin__{prefix}__{field.field}".replace("-", "_")
                fields[name] = (prefix, field)
                parameters.append(_parameter(name, field, flags, panel=panel(backend)))
        return cls(fields, tuple(parameters))

    @property
    def names(self) -> set[str]:
        """The flags that one of them has got or wanted."""
        return {flag for _, field in self.fields.values() for flag in (field.flag, *field.flags)}

    def take(self, values: dict[str, Any]) -> Options:
        """Remove the plugins' values from what typer parsed, and return those that were given."""
        options: Options = {}
        for name, (prefix, field) in self.fields.items():
            value = values.pop(name, None)
            if value:
                options.setdefault(prefix, {})[field.field] = tuple(value) if field.repeated else value
        return options


def with_plugin_flags(command: Callable[..., int], flags: PluginFlags) -> Callable[..., int]:
    """`command` with the plugins' flags in its signature; it gets their values as `options`.

    A parameter of `command` that is no `Annotated` flag is a collaborator, bound already: typer does not see it.
    """

    def extended(**values: Any) -> int:
        options = flags.take(values)
        return command(**values, options=options)

    signature = inspect.signature(command, eval_str=True)
    own = [p for p in signature.parameters.values() if get_origin(p.annotation) is Annotated]
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in (*own, *flags.parameters)]
    extended.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    extended.__annotations__ = {p.name: p.annotation for p in parameters}
    return extended


def declared_flags(command: Callable[..., Any], *, switches_only: bool = False) -> set[str]:
    """The flags in a command's signature; `switches_only` leaves out those that take a value."""
    found: set[str] = set()
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        if get_origin(parameter.annotation) is not Annotated:
            continue
        kind, *metadata = get_args(parameter.annotation)
        if switches_only and kind is not bool:
            continue
        for info in metadata:
            # in Annotated, typer keeps the first name where a default would be
            names = (getattr(info, "default", None), *(getattr(info, "param_decls", None) or ()))
            found.update(name for name in names if isinstance(name, str) and name.startswith("-"))
    return found


def markup(text: str) -> str:
    """Plain text for a place where typer expects rich's markup: `[path]` is not a style."""
    return text.replace("[", r"\[")


def _parameter(name: str, field: OptionField, flags: Sequence[str], *, panel: str) -> inspect.Parameter:
    default = f" (default: {field.default})" if field.default and not field.secret else ""
    shown = f"{field.help.rstrip('.')}{default}. env: {', '.join(field.env)}"
    info = typer.Option(
        *flags,
        metavar=field.field.upper().replace("_", "-"),
        help=markup(shown),
        show_default=False,
        rich_help_panel=panel,
    )
    # the variables are read by the core (`build_options`): typer would cut a header in two at its space
    kind: Any = list[str] if field.repeated else str | None
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=[] if field.repeated else None, annotation=Annotated[kind, info]
    )


def panel(backend: type[Backend]) -> str:
    """The title above a backend's flags, as markup."""
    schemes = ", ".join(f"{scheme}://" for scheme in backend.schemes)
    lines = (backend.__doc__ or "").strip().splitlines()
    title = f"{schemes}  {lines[0].rstrip('.')}" if lines else schemes
    return markup(title if len(title) <= _WIDEST_TITLE else title[:_WIDEST_TITLE].rpartition(" ")[0] + " …")
