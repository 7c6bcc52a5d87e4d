"""What an operator sees: Prometheus metrics, and a line of JSON a request, without a word of any review."""

import json
import logging
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.process_collector import ProcessCollector

__all__ = ["LogLines", "Metrics", "log"]

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
"""Those that have series of their own; a client can make up any number of others."""

SECONDS = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class Metrics:
    """The metrics of one server, in a registry of their own.

    Parameters
    ----------
    waiting
        Returns the tokens that wait.

    Attributes
    ----------
    accepted, answered, left
        Requests whose head was read; that got a whole answer; whose client went, or spoilt the rest, before. At the
        end `accepted = answered + left`.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self.accepted = self.answered = self.left = 0
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        labels = ("method", "route")
        self._requests = Counter(
            "xingping_requests", "Requests answered.", (*labels, "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "xingping_request_seconds", "Seconds a request took.", labels, buckets=SECONDS, registry=self._registry
        )
        self._texts = Counter("xingping_texts", "Texts worked on.", ("work",), registry=self._registry)
        self._batches = Histogram(
            "xingping_batch_texts", "Texts worked on together.", ("work",), buckets=TEXTS, registry=self._registry
        )
        self._busy = Counter("xingping_busy_seconds", "Seconds of work.", ("work",), registry=self._registry)
        gauge = Gauge("xingping_waiting_tokens", "Tokens of requests that wait.", registry=self._registry)
        gauge.set_function(waiting)

    def on_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        method = method if method in METHODS or method == "any" else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def on_batch(self, work: str, texts: int, seconds: float) -> None:
        """Count a batch."""
        self._texts.labels(work).inc(texts)
        self._batches.labels(work).observe(texts)
        self._busy.labels(work).inc(seconds)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)


def log(event: str, **fields: Any) -> None:  # noqa: ANN401 - whatever JSON takes
    """Write a line of JSON on stderr."""
    line = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "event": event, **fields}
    sys.stderr.write(json.dumps(line, ensure_ascii=True) + "\n")


class LogLines(logging.Handler):
    """What libraries log, as a line of JSON like all others.

    Of an exception it has the type and the places in the code, and not the message, which may repeat a text.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        fields: dict[str, Any] = {"logger": record.name, "level": record.levelname, "message": record.getMessage()}
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            fields["error"] = type(error).__name__
            fields["traceback"] = [line.strip() for line in traceback.format_tb(error.__traceback__)]
        log("log", **fields)
