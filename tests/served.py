"""The served application in a thread, for tests that need an address."""

import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import uvicorn

from xingping.config import ServeSettings
from xingping.serve import create_app
from xingping.serve.connection import connection_type


@contextmanager
def served(run, **settings):
    """Serve a run, and give its address."""
    settings = ServeSettings(**settings)
    config = uvicorn.Config(
        create_app(run, settings),
        port=0,
        http=connection_type(settings.request_seconds),
        log_level="error",
        access_log=False,
        ws="none",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.02)
    host, port = server.servers[0].sockets[0].getsockname()
    address = f"http://{host}:{port}"
    while not is_ready(address):
        time.sleep(0.05)
    yield address
    server.should_exit = True
    thread.join()


def is_ready(address):
    try:
        return urllib.request.urlopen(f"{address}/readyz").status == 200
    except urllib.error.HTTPError:
        return False
