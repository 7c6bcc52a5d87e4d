"""The process that serves: uvicorn, signals and exit code."""

import logging
import math
import signal
from pathlib import Path

import uvicorn

from xingping.config import ServeSettings, Task
from xingping.errors import OutputError
from xingping.serve.app import create_app
from xingping.serve.boundary import HEAD_BYTES
from xingping.serve.connection import connection_type
from xingping.serve.observation import LogLines, log

__all__ = ["run_server"]

KEEP_ALIVE_SECONDS = 15


GRACE_SECONDS = 5
"""Beyond the deadlines of requests: a client that takes in no answer must not keep the server from stopping."""


def run_server(path: Path, settings: ServeSettings, *, task: Task | None = None) -> None:
    """Serve a model until SIGTERM or SIGINT; what was accepted by then is answered.

    Parameters
    ----------
    path
        A model bundle or a run directory.
    settings
        Address and limits.
    task
        Which model of a run directory.

    Raises
    ------
    UsageError
        The model cannot be loaded, or the address not be used.
    """
    app = create_app(path, settings, task=task)
    logging.basicConfig(handlers=[LogLines()], level=logging.WARNING, force=True)
    logging.captureWarnings(True)
    config = uvicorn.Config(
        app,
        http=connection_type(settings.request_seconds),
        host=settings.host,
        port=settings.port,
        log_config=None,
        log_level="error",  # what it warns of are requests that it refuses, which are logged as such
        access_log=False,  # the application logs its own requests, as JSON
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=math.ceil(settings.deadline + settings.request_seconds + GRACE_SECONDS),
        h11_max_incomplete_event_size=2 * HEAD_BYTES,
        ws="none",
    )
    server = _Server(config)
    # uvicorn raises the signals that it caught once more when all is done, for whoever handled them before it. A
    # server that was asked to stop and did has not failed: nobody handles them.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    try:
        server.run()
    except SystemExit as error:
        raise OutputError(f"cannot listen on {settings.host}:{settings.port}; is the port in use?") from error
    app.state.loader.raise_failure()


class _Server(uvicorn.Server):
    """Says where it listens, and stops where the model cannot be loaded."""

    async def startup(self, sockets: object = None) -> None:
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            host, port, *_ = self.servers[0].sockets[0].getsockname()
            shown = f"[{host}]" if ":" in host else host
            log("listening", url=f"http://{shown}:{port}")

    async def on_tick(self, counter: int) -> bool:
        done = await super().on_tick(counter)
        return done or bool(self.config.app.state.loader.failure)  # type: ignore[union-attr]
