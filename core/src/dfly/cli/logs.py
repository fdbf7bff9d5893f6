"""The process's log, configured only here: for a person on a terminal, JSON lines otherwise, always redacted."""

import logging
import sys
from typing import Any

import structlog

from dfly.cli.redaction import redact_values


def configure(level: str, *, human: bool) -> None:
    """Send structlog's and the standard library's records of `level` and above to standard error."""
    number = getattr(logging, level.upper())
    shared: list[Any] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if human else "iso", utc=not human),
        # before redaction, and as plain text: structlog's rich tracebacks print local variables, tokens included
        structlog.processors.format_exc_info,
        _redacted,
    ]
    renderer: Any = (
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if human
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=_Stderr()),  # type: ignore[arg-type]
    )
    handler = logging.StreamHandler(_Stderr())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
        )
    )
    # at info, an HTTP library tells every request: thousands of lines for one model
    libraries = logging.INFO if number <= logging.DEBUG else max(number, logging.WARNING)
    logging.basicConfig(handlers=[handler], level=libraries, force=True)


def _redacted(_logger: Any, _method: str, event: Any) -> Any:
    # a foreign record rides along under "_record"; it is not rendered
    return {k: v if k.startswith("_") else redact_values(v, key=k) for k, v in event.items()}


class _Stderr:
    """Standard error as it is now: the progress bar replaces it while it is on the screen."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()
