"""The outermost layer: every request passes here, whatever becomes of it.

It gives each request an id, bounds the size of its body and the time to send it, turns every failure into the one shape
of errors, and counts and logs the answer.
"""

import asyncio
import re
import time
import uuid
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xingping.serve.observation import Metrics, log
from xingping.serve.problems import Problem

__all__ = ["Boundary"]

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"content-security-policy": b"default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
}

LONGEST_PATH = 200
"""Characters of a path that are logged."""


class Boundary:
    """ASGI middleware.

    Parameters
    ----------
    app
        The layers within.
    metrics
        Count the requests.
    max_body
        Bytes of a body, by its path; the rest have that of "".
    body_seconds
        Time to send it.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics, max_body: Mapping[str, int], body_seconds: float) -> None:
        self._app, self._metrics = app, metrics
        self._max_body, self._body_seconds = max_body, body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, headers = time.perf_counter(), dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        status, is_complete = 0, False

        async def answer(message: Message) -> None:
            nonlocal status, is_complete
            if message["type"] == "http.response.start":
                status = message["status"]
                own = {**HEADERS, b"x-request-id": request_id.encode()}
                message["headers"] = [*message.get("headers", []), *own.items()]
            await send(message)
            is_complete = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            most = self._max_body.get(scope["path"], self._max_body[""])
            body = await self._read(headers, receive, most)
            await self._app(scope, body, answer)
        except asyncio.CancelledError:
            status = status or 499  # the client has gone
            raise
        except Exception as error:
            problem = _problem(error)
            if problem.status >= 500 and not isinstance(error, Problem):
                log("failure", request_id=request_id, error=type(error).__name__)
            if is_complete:  # within, the failure was answered already
                return
            if status:  # half an answer is out: all that is left is to break off
                raise
            response = JSONResponse(problem.body(request_id), problem.status, problem.headers)
            await response(scope, receive, answer)
        finally:
            seconds = time.perf_counter() - start
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.on_request(scope["method"] if route != "none" else "any", route, status, seconds)
            if route not in ("/healthz", "/readyz", "/metrics"):
                log(
                    "request", request_id=request_id, method=scope["method"], path=scope["path"][:LONGEST_PATH],
                    status=status, milliseconds=round(1000 * seconds, 2),
                )  # fmt: skip

    async def _read(self, headers: dict[bytes, bytes], receive: Receive, most: int) -> Receive:
        """Read the body within its limits, and return what hands it out."""
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > most:
            raise _too_large(most)
        body, more = bytearray(), length != b"0" or b"transfer-encoding" in headers
        try:
            async with asyncio.timeout(self._body_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        break
                    body += message.get("body", b"")
                    more = message.get("more_body", False)
                    if len(body) > most:
                        raise _too_large(most)
        except TimeoutError:
            raise Problem(
                408, "slow_body", f"the body did not arrive within {self._body_seconds:g} s", {"Connection": "close"}
            ) from None
        handed = False

        async def hand_out() -> Message:
            nonlocal handed
            if handed:
                return await receive()
            handed = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        return hand_out


def _too_large(most: int) -> Problem:
    message = f"the body is larger than {most:,} bytes; send it in parts"
    return Problem(413, "body_too_large", message, {"Connection": "close"})


def _problem(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return Problem.of_status(error.status_code, error.headers)
    return Problem(500, "internal_error", "the server failed on this request; its log has the request id")
