"""A trained model over HTTP, and a page to try it (extra `serve`)."""

from xingping.serve.app import create_app
from xingping.serve.server import run_server

__all__ = ["create_app", "run_server"]
