"""What can go wrong with a request: one shape for every error.

`{"error": {"code": "queue_full", "message": "...", "request_id": "..."}}`; the codes are stable, the messages are for
people, and neither ever repeats what was sent.
"""

from collections.abc import Mapping
from http import HTTPStatus

__all__ = ["Problem"]


class Problem(Exception):  # noqa: N818 - it is the answer to a request, not a fault of the program
    """Ends a request with an error.

    Parameters
    ----------
    status
        HTTP status, 4xx or 5xx.
    code
        Stable name of what went wrong.
    message
        For people: what is wrong, and what to do.
    headers
        Such as Retry-After.
    """

    def __init__(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, dict(headers or {})

    @classmethod
    def of_status(cls, status: int, headers: Mapping[str, str] | None = None) -> "Problem":
        """Return the plain error of a status, such as 404 or 405."""
        phrase = HTTPStatus(status).phrase
        return cls(status, phrase.lower().replace(" ", "_").replace("-", "_"), phrase, headers)

    @property
    def reason(self) -> str:
        """The phrase of the status."""
        return HTTPStatus(self.status).phrase

    def body(self, request_id: str) -> dict[str, dict[str, str]]:
        """Return what the client gets."""
        return {"error": {"code": self.code, "message": self.message, "request_id": request_id}}
