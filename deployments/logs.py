"""Log lines that name the session they are about."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_session: ContextVar[str] = ContextVar("session", default="-")


@contextmanager
def about(sid: str) -> Iterator[None]:
    """Every line logged inside, by tasks started inside as well, carries this session id."""
    token = _session.set(sid)
    try:
        yield
    finally:
        _session.reset(token)


class _SessionFilter(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.session = _session.get()
        return True


def configure(level: str) -> None:
    """Send this package's lines to stderr, one format in every process. Repeatable."""
    handler = logging.StreamHandler(sys.__stderr__)  # in a replica sys.stderr is Serve's, and drops what is no warning
    handler.addFilter(_SessionFilter())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s [%(session)s] %(name)s: %(message)s"))
    logger = logging.getLogger("deployments")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
