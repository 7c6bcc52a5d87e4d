"""How fast a served model answers, alone and under load, with batching on and off; and whether it stays well.

    python benchmarks/serving.py RUN REVIEWS.csv [--clients 64] [--seconds 20] [--soak 600] [--json OUT]

RUN is a run directory; texts are drawn from the reviews. Clients are coroutines of this process on keep-alive
connections over loopback: they share the cores with the server. Before each measurement is a warm-up that does not
count. Measured are

- one client, one short review after the other: percentiles of the time to answer;
- many clients, each with one review at a time: answers a second with batching on, off, on, off, in turns;
- `--soak` seconds at the edge of saturation, the queue so short that some requests are turned away: answers by status,
  the server's memory minute by minute, and the growth between the halves;
- SIGTERM in the middle of that load: by the server's own count, requests accepted, answered and left by their client,
  and beside it the answers that the clients have got.

Exit code 1 where the two counts differ, or an error other than 503 was seen.
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
from typing import Any, NamedTuple

import numpy as np
import psutil

from machine import describe_machine

SHORT = 20
"""Characters of a short review, at most."""


WARM_UP = 3.0
"""Seconds."""

SOAK_QUEUE = 2000
"""Tokens that may wait in the soak: fewer than the clients send, so that the server is at its edge."""

SAMPLE_SECONDS = 5.0
"""Between looks at the server's memory."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("reviews", type=Path, help="table with a column of comments")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--soak", type=float, default=0, help="seconds")
    parser.add_argument("--soak-clients", type=int, default=96)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    command = {name: value for name, value in vars(args).items() if name not in ("run", "json")}
    figures = {"machine": describe_machine(), "command": command, **asyncio.run(measure(args))}
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2, default=str) + "\n", encoding="utf-8")
    return 0 if figures.get("soak", {}).get("is_well", True) else 1


async def measure(args: argparse.Namespace) -> dict[str, Any]:
    texts = read_texts(args.reviews)
    short = [text for text in texts if len(text) <= SHORT]
    figures: dict[str, Any] = {"alone": await alone(args.run, short, args.seconds)}
    throughput: dict[str, list[float]] = {"on": [], "off": []}
    for _ in range(args.rounds):
        for batching, options in (("on", []), ("off", ["--batch-tokens", "0"])):
            async with server(args.run, *options) as served:
                await flood(served.port, texts, args.clients, WARM_UP)
                load = await flood(served.port, texts, args.clients, args.seconds)
            throughput[batching].append(load.statuses[200] / load.seconds)
            print(
                f"{args.clients} clients, batching {batching}: {load.statuses[200] / load.seconds:.0f}/s, "
                f"{spread(load.latencies)}, {dict(load.statuses)}",
                flush=True,
            )
    if args.rounds:
        ratio = float(np.mean(throughput["on"]) / np.mean(throughput["off"]))
        print(f"batching: {ratio:.2f} times the throughput", flush=True)
        figures |= {"throughput": throughput, "ratio": ratio}
    if args.soak:
        figures["soak"] = await soak(args.run, texts, args.soak_clients, args.soak)
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
    async with server(run) as served:
        await flood(served.port, texts, 1, WARM_UP)
        load = await flood(served.port, texts, 1, seconds)
    latencies = load.latencies
    print(f"one client, reviews of up to {SHORT} characters: {len(latencies)} answers, {spread(latencies)}", flush=True)
    return {"n": len(latencies), **percentiles(latencies)}


async def soak(run: Path, texts: list[str], clients: int, seconds: float) -> dict[str, Any]:
    """Keep the server at its limit, then stop it in the middle."""
    async with server(run, "--queue-tokens", str(SOAK_QUEUE)) as served:
        warm = await flood(served.port, texts, clients, min(30.0, seconds / 4))
        memory = [served.memory]
        work = asyncio.create_task(flood(served.port, texts, clients, seconds))
        while not work.done():
            await asyncio.wait([work], timeout=SAMPLE_SECONDS)
            memory.append(served.memory)
        load = await work
        last = asyncio.create_task(flood(served.port, texts, clients, 60, until_refused=True))
        await asyncio.sleep(WARM_UP)
        served.process.send_signal(signal.SIGTERM)
        ending = await last
        code = await asyncio.to_thread(served.process.wait, 120)
        await served.drained
    got = sum(count for each in (warm, load, ending) for status, count in each.statuses.items() if status != "closed")
    half = len(memory) // 2
    others = {status for each in (warm, load, ending) for status in each.statuses} - {200, 503, "closed"}
    figures = {
        "seconds": round(load.seconds, 1),
        "clients": clients,
        "statuses": {str(status): count for status, count in load.statuses.items()},
        "rate": round(load.statuses[200] / load.seconds, 1),
        "latency": percentiles(load.latencies),
        "memory_mb": {
            "start": round(memory[0]), "end": round(memory[-1]), "most": round(max(memory)),
            "first_half": round(float(np.mean(memory[:half]))), "second_half": round(float(np.mean(memory[half:]))),
            "each_minute": [round(value, 1) for value in memory[:: round(60 / SAMPLE_SECONDS)]],
        },
        "at_sigterm": {
            "clients_got": {str(status): count for status, count in ending.statuses.items()},
            "server_counted": {name: served.closed.get(name) for name in ("accepted", "answered", "left")},
            "answers_got_in_all": got,
            "exit_code": code,
        },
    }  # fmt: skip
    counted = figures["at_sigterm"]["server_counted"]
    figures["is_well"] = (
        code == 0 and load.statuses[200] > 0 and not others and not load.statuses["closed"] and counted["left"] == 0
        and counted["accepted"] == counted["answered"] == got
    )  # fmt: skip
    print(json.dumps(figures, indent=2), flush=True)
    return figures


class Server:
    """A server process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.port = process, 0
        self.closed: dict[str, Any] = {}
        self.drained: asyncio.Task[None]

    @property
    def memory(self) -> float:
        """Resident, in megabytes."""
        return psutil.Process(self.process.pid).memory_info().rss / 1e6

    def wait_until_ready(self) -> None:
        is_ready = False
        for line in iter(self.process.stderr.readline, ""):
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("event") == "listening":
                self.port = int(event["url"].rpartition(":")[2])
            is_ready = is_ready or event.get("event") == "ready"
            if self.port and is_ready:
                return
        raise SystemExit("the server has ended")

    def drain(self) -> None:
        for line in self.process.stderr:
            if '"event": "closed"' in line:
                self.closed = json.loads(line)


@asynccontextmanager
async def server(run: Path, *options: str) -> AsyncIterator[Server]:
    """Start a server, and wait until it is ready."""
    command = [sys.executable, "-m", "xingping", "serve", str(run), "--port", "0", *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        served = Server(process)
        await asyncio.to_thread(served.wait_until_ready)
        served.drained = asyncio.create_task(asyncio.to_thread(served.drain))
        try:
            yield served
        finally:
            process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(process.wait)
            await served.drained


class Load(NamedTuple):
    """What came of some load."""

    statuses: Counter[Any]
    latencies: list[float]
    seconds: float


async def flood(port: int, texts: list[str], clients: int, seconds: float, *, until_refused: bool = False) -> Load:
    """Let clients ask, one review at a time; count answers by status, and connections closed instead of an answer."""
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
                statuses["closed"] += 1  # the server says whether it had accepted the request
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
    return Load(statuses, latencies, time.perf_counter() - start)


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
    sys.exit(main())
