"""What a backend class declares: schemes, prefix, options, entry point."""

from __future__ import annotations

import re

import attrs
import pytest

from dfly.backend import Backend, Secret, build_options, option_fields
from dfly.errors import DflyError
from dfly.plugins import Plugins
from dfly.testing.promises.broken import broken, promise

__all__ = ["DeclaredPromises"]

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_FLAG = re.compile(r"--[a-z][a-z0-9-]*")
_ENV = re.compile(r"[A-Z][A-Z0-9_]*")
_LOOKS_SECRET = re.compile(r"(^|_)(token|password|passwd|secret|credential|credentials|apikey|api_key)(_|$)")
_CANARY = "canary-in-the-coal-mine"


class DeclaredPromises:
    """Promises of the class."""

    #: Whether the backend's distribution is installed, so that its entry points can be looked up.
    installed = True

    def test_schemes_are_lower_case_words(self, backend: Backend) -> None:
        """The first is canonical; users type it before `://`."""
        schemes = type(backend).schemes
        fine = type(schemes) is tuple and all(_SCHEME.fullmatch(scheme) for scheme in schemes or ("",))
        promise(fine, "schemes", f"schemes is {schemes!r}", do='a tuple of lower-case words: schemes = ("gopher",)')

    def test_the_entry_points_lead_to_this_class(self, backend: Backend) -> None:
        """One entry point in group `dfly` for each scheme."""
        if not self.installed:
            pytest.skip("not a distribution of its own")
        plugins = Plugins()
        for scheme in type(backend).schemes:
            try:
                found = plugins.backend(scheme)
            except DflyError as error:
                broken(
                    "entry-point",
                    error.message,
                    do=f'add {scheme} = "<module>" to [project.entry-points.dfly], reinstall',
                )
            same = (found.__module__, found.__qualname__) == (type(backend).__module__, type(backend).__qualname__)
            promise(same, "entry-point", f"{scheme}:// leads to {found!r}", do="name your own module there")

    def test_options_become_flags(self, backend: Backend) -> None:
        """Each field is declared with `option`, helps its reader, and has a flag and variables of its own."""
        cls = type(backend)
        promise(
            attrs.has(cls.options), "options.flags", f"options is {cls.options!r}", do="make it an @attrs.frozen class"
        )
        specs = option_fields(cls)
        silent = {field.name for field in attrs.fields(cls.options)} - {spec.field for spec in specs}
        promise(
            not silent, "options.flags", f"no flag for {sorted(silent)}", do="declare the fields with dfly.option(...)"
        )
        for spec in specs:
            promise(
                spec.help.strip(), "options.flags", f"{spec.flag} has no help", do="say what it is for, with its unit"
            )
            fine = _FLAG.fullmatch(spec.flag) and all(_ENV.fullmatch(name) for name in spec.env)
            promise(fine, "options.flags", f"{spec.flag} {spec.env}", do="plain lower-case field names and prefix")
            marked = spec.endpoint or not spec.travels or "endpoint" not in spec.field
            promise(marked, "options.flags", f"{spec.flag} says where requests go", do="option(..., endpoint=True)")
        names = [spec.flag for spec in specs] + [name for spec in specs for name in spec.env]
        promise(len(names) == len(set(names)), "options.flags", f"not unique: {sorted(names)}", do="rename one")

    def test_no_option_is_required(self, backend: Backend) -> None:
        """A user without settings gets the public origin, or an error that says what to set."""
        try:
            build_options(type(backend), {}, {})
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
            broken("options.defaults", f"without settings: {error!r}", do="give each option a default; None will do")

    def test_secret_options_are_masked(self, backend: Backend) -> None:
        """A token shows itself nowhere: not in repr, not in an error."""
        cls = type(backend)
        for spec in option_fields(cls):
            if _LOOKS_SECRET.search(spec.field):
                promise(spec.secret, "options.secret", f"{spec.flag} shows its value", do="option(..., secret=True)")
            if not spec.secret:
                continue
            try:
                settings = build_options(cls, {spec.field: _CANARY}, {})
                shown = f"{settings!r} {settings}"
                masked = isinstance(getattr(settings, spec.field), Secret | tuple)
                promise(
                    masked,
                    "options.secret",
                    f"{spec.flag} is unwrapped",
                    do="keep the Secret; reveal() where it is sent",
                )
            except (DflyError, TypeError) as error:
                shown = str(error)
            promise(
                _CANARY not in shown, "options.secret", f"{spec.flag} shows its value", do="keep the Secret as it is"
            )
