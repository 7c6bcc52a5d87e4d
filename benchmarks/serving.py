"""How fast a served model answers, alone and under load, with batching on and off; and whether it stays well.

    python benchmarks/serving.py RUN REVIEWS.csv [--clients 64] [--seconds 20] [--soak 600] [--json OUT]

RUN is a run directory; texts are drawn from the reviews. Clients are coroutines of this process on keep-alive
connections over loopback: they share the cores with the server. Measured are

- one client, one short review after the other: percentiles of the time to answer;
- many clients, each with one review at a time: answers a second with batching on, off, on, off, in turns;
- `--soak` seconds at the edge of saturation: errors by status, the server's memory at the beginning and the end, and
  what became of the requests under way at SIGTERM.
"""

import argparse
import asyncio
import csv
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from machine import describe_machine

SHORT = 20
"""Characters of a short review, at most."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("reviews", type=Path, help="table with a column of comments")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--soak", type=float, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    figures = {"machine": describe_machine(), **asyncio.run(measure(args))}
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


async def measure(args: argparse.Namespace) -> dict[str, Any]:
    texts = read_texts(args.reviews)
    figures: dict[str, Any] = {
        "alone": await alone(args.run, [text for text in texts if len(text) <= SHORT], args.seconds)
    }
    throughput: dict[str, list[float]] = {"on": [], "off": []}
    for _ in range(args.rounds):
        for batching, options in (("on", []), ("off", ["--batch-tokens", "0"])):
            async with server(args.run, *options) as (port, _):
                statuses, latencies, seconds = await flood(port, texts, args.clients, args.seconds)
            throughput[batching].append(statuses[200] / seconds)
            print(
                f"{args.clients} clients, batching {batching}: {statuses[200] / seconds:.0f}/s, {spread(latencies)}",
                flush=True,
            )
    ratio = np.mean(throughput["on"]) / np.mean(throughput["off"])
    print(f"batching: {ratio:.2f} times the throughput")
    figures |= {"throughput": throughput, "ratio": float(ratio)}
    if args.soak:
        figures["soak"] = await soak(args.run, texts, args.clients, args.soak)
    return figures


def read_texts(path: Path) -> list[str]:
    """Return the comments of a table, in an order of their own."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    column = next(name for name in ("Comment", "comment", "content", "text", "短评", "评论") if name in rows[0])
    texts = [row[column].strip() for row in rows if row[column] and row[column].strip()]
    random.Random(0).shuffle(texts)
    return texts


async def alone(run: Path, texts: list[str], seconds: float) -> dict[str, float]:
    """Time one request after the other."""
    async with server(run) as (port, _):
        _, latencies, _ = await flood(port, texts, 1, seconds)
    print(f"one client, reviews of up to {SHORT} characters: {len(latencies)} answers, {spread(latencies)}", flush=True)
    return percentiles(latencies)


async def soak(run: Path, texts: list[str], clients: int, seconds: float) -> dict[str, Any]:
    """Keep the server at its limit, then stop it in the middle."""
    async with server(run, "--queue-tokens", "4000") as (port, process):
        await flood(port, texts, clients, 5)
        memory = [psutil.Process(process.pid).memory_info().rss]
        work = asyncio.create_task(flood(port, texts, clients, seconds))
        for _ in range(int(seconds // 10)):
            await asyncio.sleep(10)
            memory.append(psutil.Process(process.pid).memory_info().rss)
        statuses, latencies, took = await work
        last = asyncio.create_task(flood(port, texts, clients, 30, until_refused=True))
        await asyncio.sleep(3)
        process.send_signal(signal.SIGTERM)
        ending, _, _ = await last
        code = await asyncio.to_thread(process.wait, 60)
    figures = {
        "seconds": took,
        "statuses": dict(statuses),
        "latency": percentiles(latencies),
        "memory_mb": [round(value / 1e6) for value in (memory[0], max(memory), memory[-1])],
        "after_sigterm": {str(status): count for status, count in ending.items()},
        "exit_code": code,
    }
    print(json.dumps(figures, indent=2))
    return figures


@asynccontextmanager
async def server(run: Path, *options: str) -> AsyncIterator[tuple[int, subprocess.Popen[str]]]:
    """Start a server, and wait until it is ready."""
    command = [sys.executable, "-m", "xingping", "serve", str(run), "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        port = 0
        while line := await asyncio.to_thread(process.stderr.readline):
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("event") == "listening":
                port = int(event["url"].rpartition(":")[2])
            if event.get("event") == "ready":
                break
        drain = asyncio.create_task(asyncio.to_thread(lambda: [None for _ in process.stderr]))  # noqa: RUF006 - awaited
        try:
            yield port, process
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait)
            await drain


async def flood(
    port: int, texts: list[str], clients: int, seconds: float, *, until_refused: bool = False
) -> tuple[Counter[Any], list[float], float]:
    """Let clients ask, one review at a time; return the answers by status, the times of the good ones, and the time."""
    statuses: Counter[Any] = Counter()
    latencies: list[float] = []
    start = time.perf_counter()

    async def client(number: int) -> None:
        mine = texts[number::clients] or texts
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        at = 0
        while time.perf_counter() - start < seconds:
            body = json.dumps({"texts": [mine[at % len(mine)]]}).encode()
            at += 1
            began = time.perf_counter()
            try:
                status = await ask(reader, writer, body)
            except (ConnectionError, asyncio.IncompleteReadError):
                # A connection that is closed before a request is read was never accepted.
                statuses["closed"] += 1
                if until_refused:
                    return
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                continue
            statuses[status] += 1
            if status == 200:
                latencies.append(time.perf_counter() - began)
            elif status == 503:
                await asyncio.sleep(0.05)
        writer.close()

    await asyncio.gather(*(client(number) for number in range(clients)))
    return statuses, latencies, time.perf_counter() - start


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> int:
    """Send one request on a connection that is kept, and return the status of the answer."""
    head = (
        f"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()
    answer = await reader.readuntil(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2]) for line in answer.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    await reader.readexactly(length)
    return int(answer.split(b" ", 2)[1])


def percentiles(latencies: list[float]) -> dict[str, float]:
    """Return percentiles in milliseconds."""
    return {f"p{p}": round(1000 * float(np.percentile(latencies, p)), 2) for p in (50, 90, 99)} if latencies else {}


def spread(latencies: list[float]) -> str:
    return ", ".join(f"{name} {value} ms" for name, value in percentiles(latencies).items())


if __name__ == "__main__":
    main()
