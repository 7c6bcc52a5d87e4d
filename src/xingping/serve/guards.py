"""Who may ask how often: API keys and rate limits."""

import hashlib
import hmac
import time
from collections import OrderedDict
from pathlib import Path

from starlette.datastructures import Headers

from xingping.errors import InputError
from xingping.serve.problems import Problem

__all__ = ["ApiKeys", "RateLimit"]

MOST_CLIENTS = 10_000
"""Clients that are remembered; those that were silent longest are forgotten, with a full allowance."""


class ApiKeys:
    """The keys of a file, a line each; empty lines and those that begin with # do not count.

    Only digests are kept, and all are compared, so that neither a memory dump nor the time of an answer tells a key.

    Raises
    ------
    InputError
        The file cannot be read, or holds no key.
    """

    def __init__(self, path: Path) -> None:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the keys of {path}: {error}; give a text file with a key a line") from error
        keys = [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
        if not keys:
            raise InputError(f"{path} holds no key; write one a line")
        self._digests = [_digest(key) for key in keys]

    def check(self, headers: Headers) -> str:
        """Return who asks, as a digest.

        Raises
        ------
        Problem
            401: no key, or none that is known.
        """
        scheme, _, given = headers.get("authorization", "").partition(" ")
        key = headers.get("x-api-key") or (given.strip() if scheme.lower() == "bearer" else "")
        digest = _digest(key)
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        if not any(matches):
            raise Problem(
                401, "unauthorized", "an API key is needed: Authorization: Bearer KEY, or X-API-Key: KEY",
                {"WWW-Authenticate": "Bearer"},
            )  # fmt: skip
        return digest.hex()


class RateLimit:
    """A bucket of tokens for each client, filled evenly (a "token bucket").

    Parameters
    ----------
    per_minute
        Requests a client may make in a minute, all at once if it likes.
    """

    def __init__(self, per_minute: int) -> None:
        self._most = float(per_minute)
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens left, and when

    def check(self, client: str) -> None:
        """Take a token.

        Raises
        ------
        Problem
            429: none is left.
        """
        now = time.monotonic()
        left, at = self._clients.pop(client, (self._most, now))
        left = min(self._most, left + (now - at) * self._most / 60)
        allowed = left >= 1
        self._clients[client] = (left - 1 if allowed else left, now)
        if len(self._clients) > MOST_CLIENTS:
            self._clients.popitem(last=False)
        if not allowed:
            seconds = max(1, round((1 - left) * 60 / self._most + 0.5))
            raise Problem(
                429, "rate_limited", f"more than {self._most:g} requests a minute", {"Retry-After": str(seconds)}
            )


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
