"""Reading at full size: xingping's preparation beside a plain pandas and jieba script, and its memory at two sizes.

    python ../shared/tools/make_full_size.py full.csv
    python benchmarks/reading.py full.csv --json reading.json

Both read, strip punctuation, drop duplicates and cut into words; xingping also checks, splits and writes Parquet.
The script goes through the first `--script-rows` rows (`--full` for all of them), and rows per second are compared.
Memory is that of all processes together, sampled every 50 ms: PSS counts a page that n processes share as 1/n each,
RSS counts it n times. A tenth of the file shows how memory grows, and `--larger FILE` adds one of ten times the rows.
Needs the extra `bench`.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from itertools import islice, pairwise
from pathlib import Path

import psutil

from machine import describe_machine

SAMPLE_SECONDS = 0.05


class Clock:
    """Watches the preparation: when each part of the work began and ended."""

    def __init__(self):
        self.parts = {}

    def say(self, line):
        """Show nothing."""

    @contextmanager
    def bar(self, what, _total, _unit):
        start = time.perf_counter()
        yield lambda _done: None
        self.parts[what.removeprefix("prepare: ")] = (start, time.perf_counter())


def xingping(path, workers):
    """Prepare a file; return the rows and the seconds of each part of the work."""
    from xingping.config import RunSettings
    from xingping.preparation import prepare

    settings = RunSettings.parse({"cleaning": {"strip_punctuation": True}})
    clock = Clock()
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        start = time.perf_counter()
        summary = prepare(path, settings, Path(folder), {}, progress=clock, workers=workers)
        seconds = time.perf_counter() - start
    read, words = clock.parts["read"], clock.parts["words"]
    stages = {
        "recognise": read[0] - start,
        "read, check, clean": read[1] - read[0],
        "duplicates, split": words[0] - read[1],
        "words, write": words[1] - words[0],
    }
    return {"rows": summary["rows_read"], "seconds": seconds, "stages": stages}


def script(path, rows):
    """Do the same as many do it: pandas and jieba, in one process."""
    import jieba
    import pandas as pd

    jieba.initialize()
    start = time.perf_counter()
    frame = pd.read_csv(path, nrows=rows)
    count = len(frame)
    frame["Comment"] = frame["Comment"].astype(str).str.replace(r"[^\w\s]+", "", regex=True).str.strip()
    frame = frame[frame["Comment"] != ""]
    frame = frame.drop_duplicates(["Movie_Name_CN", "Username", "Date", "Star", "Comment"])
    frame["words"] = frame["Comment"].map(jieba.lcut)
    return {"rows": count, "seconds": time.perf_counter() - start}


def measured(*arguments):
    """Run this file anew with arguments; return what it prints, with the peak memory of all its processes."""
    process = subprocess.Popen(
        [sys.executable, __file__, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    peak = {"pss": 0, "rss": 0, "main_hwm": 0}
    watcher = threading.Thread(target=watch, args=(psutil.Process(process.pid), peak))
    watcher.start()
    output, errors = process.communicate()
    watcher.join()
    if process.returncode:
        sys.exit(errors.decode())
    return json.loads(output) | {"peak_bytes": peak}


def watch(main, peak):
    while main.is_running() and main.status() != psutil.STATUS_ZOMBIE:
        try:
            memory = [process.memory_full_info() for process in [main, *main.children(recursive=True)]]
            peak["pss"] = max(peak["pss"], sum(part.pss for part in memory))
            peak["rss"] = max(peak["rss"], sum(part.rss for part in memory))
            status = Path(f"/proc/{main.pid}/status").read_text(encoding="ascii", errors="replace")
            high = [int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM:")]
            peak["main_hwm"] = max([peak["main_hwm"], *high])
        except (psutil.Error, OSError):
            pass
        time.sleep(SAMPLE_SECONDS)


def first_rows(path, rows, target):
    with path.open(encoding="utf-8", newline="") as file, target.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out, lineterminator="\n").writerows(islice(csv.reader(file), rows + 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="made by make_full_size.py")
    parser.add_argument("--larger", type=Path, help="a file of ten times the rows, for memory")
    parser.add_argument("--script-rows", type=int, default=200_000)
    parser.add_argument("--full", action="store_true", help="run the script on all rows")
    parser.add_argument("--workers", type=int, help="processes; as many as cores if not given")
    parser.add_argument("--repeat", type=int, default=1, help="runs of the full size; the fastest counts")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--only", choices=["xingping", "script"], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        rows = None if args.full else args.script_rows
        print(json.dumps(xingping(args.file, args.workers) if args.only == "xingping" else script(args.file, rows)))
        return
    workers = ["--workers", args.workers] if args.workers else []
    load = psutil.getloadavg()[0]
    runs = [measured(args.file, "--only", "xingping", *workers) for _ in range(args.repeat)]
    figures = {"xingping": min(runs, key=lambda run: run["seconds"])}
    options = ["--full"] if args.full else ["--script-rows", args.script_rows]
    figures["pandas + jieba"] = measured(args.file, "--only", "script", *options)
    with tempfile.TemporaryDirectory(dir=args.file.parent) as folder:
        small = Path(folder) / "small.csv"
        first_rows(args.file, figures["xingping"]["rows"] // 10, small)
        figures["xingping, a tenth"] = measured(small, "--only", "xingping", *workers)
    if args.larger:
        figures["xingping, ten times"] = measured(args.larger, "--only", "xingping", *workers)
    report(figures)
    if args.json:
        about = {
            "machine": describe_machine(),
            "load_before": load,
            "seconds_of_all_runs": [r["seconds"] for r in runs],
        }
        args.json.write_text(json.dumps(about | {"figures": figures}, ensure_ascii=False, indent=2) + "\n")


def report(figures):
    print(f"{'':22}{'rows':>12}{'seconds':>10}{'rows/s':>10}{'PSS MB':>9}{'RSS MB':>9}{'main MB':>9}")
    for name, run in figures.items():
        memory = "".join(f"{run['peak_bytes'][key] / 1e6:9,.0f}" for key in ("pss", "rss", "main_hwm"))
        print(f"{name:22}{run['rows']:12,}{run['seconds']:10.1f}{run['rows'] / run['seconds']:10,.0f}{memory}")
    ours, theirs = figures["xingping"], figures["pandas + jieba"]
    speed = ours["rows"] / ours["seconds"] / (theirs["rows"] / theirs["seconds"])
    print("seconds of xingping:", ", ".join(f"{name} {value:.1f}" for name, value in ours["stages"].items()))
    print(f"{speed:.1f} times as many rows per second as pandas + jieba")
    sizes = [figures[name] for name in ("xingping, a tenth", "xingping", "xingping, ten times") if name in figures]
    for small, large in pairwise(sizes):
        ratio = large["peak_bytes"]["pss"] / small["peak_bytes"]["pss"]
        print(f"{large['rows'] / small['rows']:.1f} times the rows take {ratio:.2f} times the memory (PSS)")


if __name__ == "__main__":
    main()
