"""A simulated vLLM, a program: takes its options and its key as vLLM does, answers /health and /v1/models alone.

What it does is the name of its model: `good` answers; `wrong` ends as vLLM does over a model that is not there; any
other starts for ever.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WRONG = """Traceback (most recent call last):
  File "entry.py", line 3, in <module>
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, Invalid repository ID or local directory specified: 'wrong'.
Please verify the following requirements:
    For further information visit https://errors.pydantic.dev/2.14/v/value_error"""


def simulated_python(folder: Path) -> str:
    """An interpreter whose every module is the simulated vLLM."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{__file__}" "$@"\n')
    python.chmod(0o755)
    return str(python)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        known = self.headers.get("Authorization") == f"Bearer {os.environ['VLLM_API_KEY']}"
        body = json.dumps({"data": [{"id": _option("served-model-name")}]}).encode() if known else b""
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _option(name: str) -> str:
    return sys.argv[sys.argv.index(f"--{name}") + 1]


def main() -> None:
    match _option("model"):
        case "good":
            ThreadingHTTPServer((_option("host"), int(_option("port"))), _Handler).serve_forever()
        case "wrong":
            sys.exit(WRONG)
        case _:
            threading.Event().wait()


if __name__ == "__main__":
    main()
