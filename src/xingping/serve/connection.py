"""A connection, before and below the application: clients that are slow, hang up half-way, or do not speak HTTP.

uvicorn waits for ever for the head of a request and for a client that does not read, answers broken HTTP in plain text,
and drops the answer to a client that has closed its half of the connection.
"""

import asyncio
import json
import uuid
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from xingping.serve.observation import log
from xingping.serve.problems import Problem

__all__ = ["Connection", "connection_type"]


class Connection(H11Protocol):
    """What uvicorn makes of each connection."""

    patience = 20.0
    """Seconds for the head of a request, and in which a client must take in some of an answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - whatever uvicorn gives
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._has_begun = False  # to send a request
        self._is_half_closed = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, but not for ever."""
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in; a head that comes byte by byte gets no more time for it."""
        self._has_begun = True
        super().data_received(data)
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            if self._head_timer is None:
                self._await_head()
        elif self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer, self._has_begun = None, False

    def eof_received(self) -> bool:  # type: ignore[override]
        """Say whether the client is still to be answered: it has sent a whole request, and nothing more will come."""
        self._is_half_closed = True
        return self.cycle is not None and not self.cycle.response_complete and not self.cycle.more_body

    def on_response_complete(self) -> None:
        """Go on to what the client sent before it closed its half; then close the other."""
        super().on_response_complete()
        if self._is_half_closed and self.cycle.response_complete and not self.transport.is_closing():
            self.transport.close()

    def pause_writing(self) -> None:
        """Give a client that does not read its answer some time, and then up."""
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.patience, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on with a client that reads."""
        if self._write_timer is not None:
            self._write_timer.cancel()
        super().resume_writing()

    def shutdown(self) -> None:
        """Close the connection once what it asked for is answered."""
        try:
            super().shutdown()
        except h11.LocalProtocolError:  # after an answer to what was no HTTP
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - says no more than the status
        """Refuse what is no HTTP."""
        self._refuse(Problem(400, "bad_request", "this is no request of HTTP/1.1 that can be understood"))

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.patience, self._give_up)

    def _give_up(self) -> None:
        if self._has_begun and not self.transport.is_closing():
            self._refuse(Problem(408, "slow_request", f"the request did not arrive within {self.patience:g} s"))
        else:
            self.transport.close()

    def _refuse(self, problem: Problem) -> None:
        """Answer without the application, and close."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            request_id = uuid.uuid4().hex
            body = json.dumps(problem.body(request_id)).encode()
            headers = [
                ("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close"),
                ("x-content-type-options", "nosniff"), ("x-request-id", request_id),
            ]  # fmt: skip
            response = h11.Response(status_code=problem.status, headers=headers, reason=problem.reason)
            for event in (response, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            log("refused", request_id=request_id, status=problem.status, code=problem.code)
        self.transport.close()


def connection_type(patience: float) -> type[Connection]:
    """Return connections with so many seconds of patience."""

    class Limited(Connection):
        pass

    Limited.patience = patience
    return Limited
