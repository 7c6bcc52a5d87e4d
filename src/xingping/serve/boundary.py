"""The outermost layer: every request passes here, whatever becomes of it.

It gives each request an id, bounds the size of its body and the time to send it, turns every failure into the one shape
of errors, and counts and logs the answer.
"""

import asyncio
import re
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress

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

HEAD_BYTES = 32 << 10
"""Most bytes of an address and headers."""

MOST_HELD = 4
"""How many of the largest bodies may be in memory together."""

DRAINED_SECONDS = 2.0
"""How long the rest of a body that is too large is read and dropped: a client that is cut off while it sends may never
see why."""


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
        self._held, self._most_held = 0, MOST_HELD * max(max_body.values())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, headers = time.perf_counter(), dict(scope["headers"])
        given = headers.get(b"x-request-id", b"").decode("latin-1")
        request_id = given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        exchange = _Exchange(send, request_id)
        self._metrics.accepted += 1
        body = _Body(receive, self._max_body.get(scope["path"], self._max_body[""]))
        try:
            _check_head(scope)
            await self._read(headers, body)
            await self._app(scope, body.hand_out, exchange.send)
        except _ClientGoneError:
            exchange.status = 499
        except asyncio.CancelledError:
            exchange.status = exchange.status or 499  # the server cannot wait any longer
            raise
        except Exception as error:
            problem = _problem(error)
            if problem.status >= 500 and not isinstance(error, Problem):
                log("failure", request_id=request_id, error=type(error).__name__)
            if exchange.is_complete:  # within, the failure was answered already
                return
            if exchange.status:  # half an answer is out: all that is left is to break off
                raise
            await self._refuse(problem, exchange, body)
        finally:
            self._held -= body.size
            self._count(scope, exchange, time.perf_counter() - start)

    async def _read(self, headers: dict[bytes, bytes], body: "_Body") -> None:
        """Read the body within its limits."""
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and (len(length) > 18 or int(length) > body.most):
            raise _too_large(body.most)
        if length == b"0" and b"transfer-encoding" not in headers:
            return
        try:
            async with asyncio.timeout(self._body_seconds):
                while body.more:
                    self._held += await body.read()
                    if body.size > body.most:
                        raise _too_large(body.most)
                    if self._held > self._most_held:
                        raise Problem(503, "busy", "too much is being sent at once; try again", {"Retry-After": "2"})
        except TimeoutError:
            raise Problem(
                408, "slow_body", f"the body did not arrive within {self._body_seconds:g} s", {"Connection": "close"}
            ) from None

    async def _refuse(self, problem: Problem, exchange: "_Exchange", body: "_Body") -> None:
        """Answer with an error, and where more of the body comes, let the client see it before the connection ends."""
        response = JSONResponse(problem.body(exchange.request_id), problem.status, problem.headers)
        await exchange.send({"type": "http.response.start", "status": problem.status, "headers": response.raw_headers})
        is_cut_off = problem.status in (413, 431) and body.more
        await exchange.send({"type": "http.response.body", "body": response.body, "more_body": is_cut_off})
        if is_cut_off:
            with suppress(TimeoutError, _ClientGoneError):
                async with asyncio.timeout(DRAINED_SECONDS):
                    await body.drop()
            await exchange.send({"type": "http.response.body", "body": b"", "more_body": False})

    def _count(self, scope: Scope, exchange: "_Exchange", seconds: float) -> None:
        if exchange.is_complete:
            self._metrics.answered += 1
        else:
            self._metrics.left += 1
        route = getattr(scope.get("route"), "path", "none")
        self._metrics.on_request(scope["method"] if route != "none" else "any", route, exchange.status, seconds)
        if route not in ("/healthz", "/readyz", "/metrics"):
            log(
                "request", request_id=exchange.request_id, method=scope["method"], path=scope["path"][:LONGEST_PATH],
                status=exchange.status, milliseconds=round(1000 * seconds, 2),
            )  # fmt: skip


class _ClientGoneError(Exception):
    """The client has closed the connection."""


class _Exchange:
    """The answer to one request, as far as it is out."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send, self.request_id = send, request_id
        self.status, self.is_complete = 0, False

    async def send(self, message: Message) -> None:
        """Send a part, with the headers that all answers have; one that an answer has of its own stays."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = list(message.get("headers", []))
            known = {name.lower() for name, _value in given}
            own = {**HEADERS, b"x-request-id": self.request_id.encode()}
            message["headers"] = [*given, *((name, value) for name, value in own.items() if name not in known)]
        await self._send(message)
        self.is_complete = message["type"] == "http.response.body" and not message.get("more_body", False)


class _Body:
    """The body of a request, as far as it has come."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self.most = receive, most
        self._content = bytearray()
        self._is_handed = False
        self.more = True
        self.size = 0

    async def read(self) -> int:
        """Read some more, and return how much.

        Raises
        ------
        _ClientGoneError
            Nothing more will come.
        """
        message = await self._next()
        data = message.get("body", b"")
        self._content += data
        self.size += len(data)
        return len(data)

    async def drop(self) -> None:
        """Read what is left, and forget it."""
        self._content.clear()
        while self.more:
            await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.more = False
            raise _ClientGoneError
        self.more = message.get("more_body", False)
        return message

    async def hand_out(self) -> Message:
        """Give the whole body to the application."""
        if self._is_handed:
            return await self._receive()
        self._is_handed = True
        return {"type": "http.request", "body": bytes(self._content), "more_body": False}


def _check_head(scope: Scope) -> None:
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    if headers + len(scope["path"]) + len(scope["query_string"]) > HEAD_BYTES:
        raise Problem(
            431, "head_too_large", f"address and headers are larger than {HEAD_BYTES:,} bytes", {"Connection": "close"}
        )


def _too_large(most: int) -> Problem:
    message = f"the body is larger than {most:,} bytes; send it in parts"
    return Problem(413, "body_too_large", message, {"Connection": "close"})


def _problem(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return Problem.of_status(error.status_code, error.headers)
    return Problem(500, "internal_error", "the server failed on this request; its log has the request id")
