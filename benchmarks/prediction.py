"""Rate a large file with `xingping predict`, undisturbed and killed on the way, and compare the bytes.

    python benchmarks/prediction.py RUN REVIEWS.csv [--rows 1000000] [--kills 2] [--format csv] [--keep FOLDER]
        [--json OUT] [-- PREDICT OPTIONS]

The rows are those of the table again and again, with a number in front of every text but those of the first round, so
that every round has new texts; --repeat leaves them as they are, and where RUN was made from the same table, their
features are in the store and nothing is encoded. Each prediction is a process of its own; its peak
memory is what the system says of it at the end (`ru_maxrss` of that process). The second one gets SIGKILL when the rows
kept beside the target pass a share of the whole, and is started again, --kills times. Exit code 1 where the results
differ, a row is missing or out of order, or something is left in the folder.
"""

import argparse
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from hashlib import file_digest
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from machine import describe_machine

POLL = 0.2

WRITTEN = 20_000
"""Rows that are written together."""

ROW = "row_of_benchmark"
"""A column that numbers the rows."""


def main() -> int:
    own, options = sys.argv[1:], []
    if "--" in own:
        at = own.index("--")
        own, options = own[:at], own[at + 1 :]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="run directory")
    parser.add_argument("reviews", type=Path, help="table with a column of comments, CSV")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--format", choices=("csv", "csv.gz", "tsv", "jsonl", "parquet"), default="csv")
    parser.add_argument("--repeat", action="store_true", help="leave the texts as they are in every round")
    parser.add_argument("--keep", type=Path, help="folder to work in, kept; by default a temporary one")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(own)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        figures = measure(args, options, folder)
    print(json.dumps(figures, indent=2))
    if args.json:
        command = {name: str(value) for name, value in vars(args).items() if name not in ("run", "json", "keep")}
        content = {"machine": describe_machine(), "command": command, "options": options, **figures}
        args.json.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0 if figures["identical"] and figures["rows_in_order"] and not figures["left_over"] else 1


def measure(args: argparse.Namespace, options: list[str], folder: Path) -> dict[str, Any]:
    source = folder / f"reviews.{args.format}"
    write_rows(args.reviews, source, args.rows, vary=not args.repeat)
    whole = Job(args.run, source, folder / "whole", options)
    undisturbed = whole.finish()
    print(f"undisturbed: {undisturbed}", flush=True)
    killed = Job(args.run, source, folder / "killed", options)
    parts = [killed.kill_at(args.rows * (number + 1) / (args.kills + 1)) for number in range(args.kills)]
    last = killed.finish()
    print(f"killed at {parts}, then: {last}", flush=True)
    return {
        "rows": args.rows,
        "megabytes": round(source.stat().st_size / 1e6, 1),
        "undisturbed": undisturbed,
        "rows_a_second": round(args.rows / undisturbed["seconds"], 1),
        "killed_at_rows": parts,
        "after_the_kills": last,
        "identical": [digest(path) for path in whole.results] == [digest(path) for path in killed.results],
        "rows_in_order": is_in_order(whole.target, args.rows),
        "left_over": sorted(path.name for path in killed.folder.iterdir() if path not in killed.results),
    }


class Job:
    """One prediction, in as many processes as it takes."""

    def __init__(self, run: Path, source: Path, folder: Path, options: list[str]) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self.folder, self.target = folder, folder / f"rated.{source.name.partition('.')[2]}"
        self.results = [self.target, folder / "films.csv"]
        self.command = [sys.executable, "-m", "xingping", "predict", str(run), "--input", str(source)]
        self.command += ["--output", str(self.target), "--films", str(self.results[1]), *options]

    def finish(self) -> dict[str, float]:
        """Run to the end, and return seconds and the peak memory."""
        start = time.perf_counter()
        process = subprocess.Popen(self.command)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"{' '.join(self.command)} ended with {process.returncode}")
        return {"seconds": round(time.perf_counter() - start, 1), "peak_memory_mb": round(usage.ru_maxrss * 1024 / 1e6)}

    def kill_at(self, rows: float) -> int:
        """Run until so many rows are kept, kill it, and return how many were."""
        process = subprocess.Popen(self.command)
        while self.kept_rows() < rows:
            if process.poll() is not None:
                raise SystemExit(
                    f"it ended with {process.returncode} before {rows:,.0f} rows were done: give it more rows"
                )
            time.sleep(POLL)
        process.send_signal(signal.SIGKILL)
        process.wait()
        return self.kept_rows()

    def kept_rows(self) -> int:
        """Count the rows of all finished parts."""
        return sum(pa.ipc.open_file(pa.memory_map(str(path))).read_all().num_rows for path in self.finished())

    def finished(self) -> list[Path]:
        """Return the files of the parts."""
        return sorted(self.folder.glob(".*.parts/[0-9]*.arrow"))


def write_rows(reviews: Path, source: Path, count: int, *, vary: bool) -> None:
    """Write a table of many rows."""
    with reviews.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    names = (*rows[0], ROW)
    column = next(name for name in ("Comment", "comment", "content", "text", "短评", "评论") if name in rows[0])
    text = source.with_name("reviews.csv")
    with text.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, names, delimiter="\t" if source.suffix == ".tsv" else ",")
        writer.writeheader()
        for number in range(count):
            turn, at = divmod(number, len(rows))
            varied = {column: f"{turn}，{rows[at][column]}"} if vary and turn else {}
            writer.writerow({**rows[at], **varied, ROW: number})
    if source.name == "reviews.tsv":
        text.rename(source)
    elif source.name == "reviews.csv.gz":
        subprocess.run(["gzip", "--force", str(text)], check=True)
    elif source.suffix in (".jsonl", ".parquet"):
        convert(text, source)
        text.unlink()


def convert(text: Path, source: Path) -> None:
    """Write the rows of a CSV file as JSON Lines or Parquet."""
    with text.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if source.suffix == ".jsonl":
            with source.open("w", encoding="utf-8") as out:
                out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in reader)
            return
        with pq.ParquetWriter(source, pa.schema([(name, pa.string()) for name in reader.fieldnames])) as writer:
            batch: list[dict[str, str]] = []
            for row in reader:
                batch.append(row)
                if len(batch) == WRITTEN:
                    writer.write_table(pa.Table.from_pylist(batch, schema=writer.schema))
                    batch = []
            writer.write_table(pa.Table.from_pylist(batch, schema=writer.schema))


def is_in_order(target: Path, rows: int) -> bool:
    """Say whether all rows are there, in their order."""
    if target.suffix == ".parquet":
        numbers = (
            value for batch in pq.ParquetFile(target).iter_batches(columns=[ROW]) for value in batch[0].to_pylist()
        )
    elif target.suffix == ".jsonl":
        numbers = (json.loads(line)[ROW] for line in target.open(encoding="utf-8"))
    else:
        stream = subprocess.Popen(["gzip", "-dc", str(target)], stdout=subprocess.PIPE, text=True).stdout \
            if target.suffix == ".gz" else target.open(encoding="utf-8", newline="")  # fmt: skip
        reader = csv.DictReader(stream, delimiter="\t" if target.suffix == ".tsv" else ",")
        numbers = (row[ROW] for row in reader)
    seen = 0
    for number in numbers:
        if int(number) != seen:
            return False
        seen += 1
    return seen == rows


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    sys.exit(main())
