"""The process's log, configured only here: for a person on a terminal, JSON lines otherwise, always redacted.

Most runs of dfget log nothing, and structlog (with rich and asyncio) takes longer to import than a small model to fetch. So it is
imported with the first record, and configured as soon as anybody imports it.
"""

import importlib.util
import logging
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from dfly.cli.redaction import redact_values


def configure(level: str, *, human: bool) -> None:
    """Send structlog's and the standard library's records of `level` and above to standard error."""
    number = getattr(logging, level.upper())
    handler = logging.StreamHandler(_Stderr())
    handler.setFormatter(_Formatter(human=human))
    # at info, an HTTP library tells every request: thousands of lines for one model
    libraries = logging.INFO if number <= logging.DEBUG else max(number, logging.WARNING)
    logging.basicConfig(handlers=[handler], level=libraries, force=True)
    _once_imported("structlog", partial(_configure_structlog, number, human=human))


def _configure_structlog(number: int, *, human: bool) -> None:
    import structlog

    structlog.configure(
        processors=[*_shared(human=human), _renderer(human=human)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=_Stderr()),  # type: ignore[arg-type]
    )


class _Formatter(logging.Formatter):
    """The standard library's records in the form of structlog's."""

    def __init__(self, *, human: bool) -> None:
        super().__init__()
        self._human = human
        self._inner: logging.Formatter | None = None

    def format(self, record: logging.LogRecord) -> str:
        if self._inner is None:
            import structlog

            last = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(human=self._human)]
            self._inner = structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=_shared(human=self._human), processors=last
            )
        return self._inner.format(record)


def _shared(*, human: bool) -> list[Any]:
    import structlog

    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if human else "iso", utc=not human),
        # before redaction, and as plain text: structlog's rich tracebacks print local variables, tokens included
        structlog.processors.format_exc_info,
        _redacted,
    ]


def _renderer(*, human: bool) -> Any:
    import structlog

    if not human:
        return structlog.processors.JSONRenderer(ensure_ascii=False)
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)


def _redacted(_logger: Any, _method: str, event: Any) -> Any:
    # a foreign record rides along under "_record"; it is not rendered
    return {k: v if k.startswith("_") else redact_values(v, key=k) for k, v in event.items()}


class _Stderr:
    """Standard error as it is now: the progress bar replaces it while it is on the screen.

    What it does not take is lost. A full disk below the log must not stop what the log tells of.
    """

    def write(self, text: str) -> int:
        with suppress(OSError):
            sys.stderr.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            sys.stderr.flush()


def _once_imported(name: str, then: Callable[[], None]) -> None:
    """Call `then` now if the module is there, else right after somebody has imported it."""
    if name in sys.modules:
        then()
        return
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, _Awaiting)]
    sys.meta_path.insert(0, _Awaiting(name, then))


class _Awaiting(MetaPathFinder):
    """Finds nothing by itself: adds `then` to the import of one module, once."""

    def __init__(self, name: str, then: Callable[[], None]) -> None:
        self._name, self._then = name, then

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002 - the base class's words
        if fullname != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                self._then()

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
