"""The stock Optuna dashboard over our storage, read-only and on this machine only."""

from __future__ import annotations

import socketserver
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna_dashboard

from hpo.errors import UsageError
from hpo.launch import storage_url
from hpo.store.optuna_storage import Storage

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
"""Never another: the dashboard asks nobody for a password."""


class _Server(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Log nothing: the page polls every few seconds."""


def _read_only(app: WSGIApplication) -> WSGIApplication:
    """Answer whatever would change something with 403, before it reaches the storage."""

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return app(environ, start_response)
        start_response("403 Forbidden", [("Content-Type", "application/json")])
        return [b'{"reason": "This dashboard is read-only. Change a study with the hpo command."}']

    return answer


def serve(storage: str | None, port: int, ready: Callable[[str], None]) -> None:
    """Serve the dashboard until Ctrl-C.

    Our storage reads only what is new at each poll; opened by URL, the dashboard would read
    every trial again each time, on a core that the workers need.

    Args:
        storage: URL of the database.
        port: Port to listen on; 0 takes a free one.
        ready: Is told the address once it listens.

    Raises:
        UsageError: The port is taken or not allowed.
        DatabaseError: The database cannot be read.
    """
    app = _read_only(optuna_dashboard.wsgi(Storage(storage_url(storage), read_only=True)))
    try:
        server = make_server(HOST, port, app, server_class=_Server, handler_class=_Quiet)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"port {port} cannot be used ({error}). Choose another: hpo dashboard --port 8081"
        ) from None
    with server:
        ready(f"http://{HOST}:{server.server_port}/dashboard/")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return
