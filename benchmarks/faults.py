"""Kill, starve and damage a run, and see that its results are those of an undisturbed one.

    python benchmarks/faults.py [--reviews 12000] [--kills 21] [--seed 0] [--ray] [--keep FOLDER] [--json OUT]

The reviews are spliced from the bundled sample. Every `xingping run` is a process of its own that gets SIGKILL at a
random moment of a chosen stage and is started again; then a file system fills up under it; then bytes of its shards are
flipped, a shard is cut short and one is deleted; with --ray, an encoding worker is killed too. After each, every
artefact is compared byte by byte with that of the undisturbed run. Exit code 1 where one differs.
"""

import argparse
import csv
import hashlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import psutil

from machine import describe_machine

STAGES = ("prepare", "encode", "train", "evaluate", "report")
SHARE_OF_KILLS = {"prepare": 4, "encode": 6, "train": 5, "evaluate": 3, "report": 3}
TIMES = re.compile(r'"seconds": [\d.]+')
POLL = 0.02
SHARD_TEXTS = 4096


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reviews", type=int, default=12_000)
    parser.add_argument("--kills", type=int, default=21)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--encoder", default="bundled")
    parser.add_argument("--ray", action="store_true", help="also kill a worker of the Ray engine")
    parser.add_argument("--keep", type=Path, help="folder to work in, kept; by default a temporary one")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        harness = Harness(folder, args)
        checks = harness.run()
    failed = [check for check in checks if not check["identical"]]
    print(f"{len(checks) - len(failed)} of {len(checks)} checks passed; {harness.kills} kills")
    if args.json:
        figures = {"machine": describe_machine(), "checks": checks, "kills": harness.kills}
        args.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 1 if failed else 0


class Harness:
    """One undisturbed run, and everything that is done to its twins."""

    def __init__(self, folder: Path, args: argparse.Namespace) -> None:
        self.folder, self.args = folder, args
        self.rng = random.Random(args.seed)
        self.data = folder / "reviews.csv"
        self.kills = 0
        self.checks: list[dict] = []
        self.seconds: dict[str, float] = {}
        self.expected: dict[str, str] = {}

    def run(self) -> list[dict]:
        write_reviews(self.data, self.args.reviews, self.rng)
        start = time.monotonic()
        self.start("undisturbed").wait()
        record = read_json(self.folder / "undisturbed" / "run" / "run.json")
        self.seconds = {name: stage["seconds"] for name, stage in record["stages"].items()}
        self.expected = digests(self.folder / "undisturbed")
        print(f"undisturbed: {time.monotonic() - start:.0f} s, {len(self.expected)} files; stages {self.seconds}")
        self.kill_everywhere()
        self.damage("flipped bytes", flip_bytes)
        self.damage("a shard cut short", cut_short)
        self.damage("a shard deleted", Path.unlink)
        self.damage("the manifest damaged", flip_bytes, file="manifest.json")
        self.fill_the_disk()
        if self.args.ray:
            self.kill_a_ray_worker()
        return self.checks

    def start(self, name: str, *options: str, cache: Path | None = None) -> subprocess.Popen:
        """Start a run in a process group of its own."""
        place = self.folder / name
        place.mkdir(exist_ok=True)
        cache = cache or place / "cache"
        encoders = Path(self.folder / "undisturbed" / "cache" / "encoders")
        if name != "undisturbed" and encoders.is_dir() and not (cache / "encoders").exists():
            shutil.copytree(encoders, cache / "encoders")
        command = [sys.executable, "-m", "xingping", "run", str(self.data), "--out", str(place / "run")]
        command += ["--encoder", self.args.encoder, "--epochs", "4", "--movie", "疯狂动物城", *options]
        log = (place / "log").open("ab")
        environment = os.environ | {"XINGPING_CACHE": str(cache)}
        return subprocess.Popen(command, env=environment, stderr=log, stdout=log, start_new_session=True)

    def kill_everywhere(self) -> None:
        """Kill at random moments of every stage, go on each time, and compare in the end."""
        total = sum(SHARE_OF_KILLS.values())
        plan = {stage: max(1, round(self.args.kills * share / total)) for stage, share in SHARE_OF_KILLS.items()}
        hits = dict.fromkeys(STAGES, 0)
        while any(hits[stage] < plan[stage] for stage in STAGES):
            process = self.start("killed")
            stage = self.wait_for_stage(process, [name for name in STAGES if hits[name] < plan[name]])
            if stage is None:
                break  # all is done; what could still be killed is over too soon
            time.sleep(self.rng.random() * self.seconds[stage])
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                hits[stage] += 1
                self.kills += 1
            process.wait()
        code = self.start("killed").wait()
        self.compare(f"{self.kills} kills ({hits})", "killed", code)

    def wait_for_stage(self, process: subprocess.Popen, wanted: list[str]) -> str | None:
        """Return the stage that a process is at, once it is one of those wanted; None if it ended before."""
        record = self.folder / "killed" / "run" / "run.json"
        while process.poll() is None:
            if record.is_file():
                done = read_json(record).get("stages", {})
                at = next((stage for stage in STAGES if stage not in done), None)
                if at in wanted:
                    return at
            time.sleep(POLL)
        return None

    def damage(self, what: str, how: Callable[[Path], None], file: str = "") -> None:
        """Damage a finished store and run anew on it: only the damaged shard may be encoded again."""
        shutil.rmtree(self.folder / "damaged", ignore_errors=True)
        shutil.copytree(self.folder / "undisturbed" / "cache", self.folder / "damaged" / "cache")
        shards = sorted((self.folder / "damaged" / "cache" / "features").rglob("shard-*"))
        shard = self.rng.choice(shards)
        victim = shard.with_name(file) if file else shard
        times = {shard: shard.stat().st_mtime_ns for shard in shards}
        how(victim)
        code = self.start("damaged").wait()
        again = [shard.name for shard in shards if shard != victim and shard.stat().st_mtime_ns != times[shard]]
        named = victim.name in (self.folder / "damaged" / "log").read_text(encoding="utf-8", errors="replace")
        self.compare(what, "damaged", code, encoded_for_nothing=again, named=named)

    def fill_the_disk(self) -> None:
        """Let a small file system fill up in the middle of encoding, then make room and go on."""
        size = sum(path.stat().st_size for path in (self.folder / "undisturbed" / "cache").rglob("*") if path.is_file())
        disk = self.folder / "disk"
        disk.mkdir(exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={int(size * 1.5) + (1 << 30)}", "tmpfs", str(disk)]
        if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
            print("a full disk: skipped, since mounting a small file system needs root")
            return
        try:
            process = self.start("full", cache=disk / "cache")
            shutil.rmtree(self.folder / "full" / "cache", ignore_errors=True)
            record = self.folder / "full" / "run" / "run.json"
            while process.poll() is None and not self.is_time_to_fill(disk / "cache", record):
                time.sleep(POLL)
            filler = disk / "filler"
            with filler.open("wb") as file:
                free = shutil.disk_usage(disk).free - (64 << 10)
                os.posix_fallocate(file.fileno(), 0, free)
            code = process.wait()
            lines = (self.folder / "full" / "log").read_text(encoding="utf-8", errors="replace").splitlines()
            said = "No space left" in lines[-1] or "are free" in lines[-1]
            clear = code in (1, 2) and said and not any("Traceback" in line for line in lines)
            filler.unlink()
            code = self.start("full", cache=disk / "cache").wait()
            shutil.copytree(disk / "cache", self.folder / "full" / "cache", dirs_exist_ok=True)
            self.compare("a full disk", "full", code, one_clear_line=clear, line=lines[-1])
        finally:
            subprocess.run(["umount", str(disk)], check=False)

    def is_time_to_fill(self, cache: Path, record: Path) -> bool:
        """Say whether the first shard is written; where there is to be one only, whether encoding is next."""
        if self.args.reviews > SHARD_TEXTS:
            return bool(list(cache.glob("features/*/shard-*")))
        return record.is_file() and "prepare" in read_json(record).get("stages", {})

    def kill_a_ray_worker(self) -> None:
        """Kill the process that encodes for Ray in the middle of its work."""
        process = self.start("ray", "--engine", "ray")
        store = self.folder / "ray" / "cache" / "features"
        while process.poll() is None and not list(store.glob("*/shard-*")):
            time.sleep(POLL)
        children = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        victims = [child for child in children if " ".join(child.cmdline()).startswith("ray::")]
        busy = max(victims, key=lambda child: sum(child.cpu_times()[:2]), default=None)
        if busy is not None:
            busy.kill()
            self.kills += 1
        self.compare("a Ray worker killed", "ray", process.wait(), killed=busy is not None)

    def compare(self, what: str, name: str, code: int, **notes: object) -> None:
        """Note whether a run ended well with the files of the undisturbed one."""
        found = digests(self.folder / name)
        differing = sorted(key for key in self.expected | found if self.expected.get(key) != found.get(key))
        bad = [key for key in ("named", "one_clear_line", "killed") if notes.get(key) is False]
        bad += [key for key in ("encoded_for_nothing",) if notes.get(key)]
        check = {"what": what, "exit": code, "differing": differing, **notes}
        check["identical"] = code == 0 and not differing and not bad
        self.checks.append(check)
        verdict = "ok  " if check["identical"] else "FAIL"
        print(f"{verdict} {what}: exit {code}, {differing or 'all files identical'} {notes}", flush=True)


def digests(place: Path) -> dict[str, str]:
    """Return the SHA-256 of every artefact that holds no clock's reading, and of the store."""
    run, store = place / "run", place / "cache" / "features"
    paths = [
        path for path in run.rglob("*") if path.is_file() and path.name != "run.json" and "report" not in path.parts
    ]
    paths += [path for path in store.rglob("*") if path.suffix != ".lock"]
    result = {}
    for path in filter(Path.is_file, paths):
        content = path.read_bytes()
        if path.name == "history.json":
            content = TIMES.sub("", content.decode()).encode()
        result[str(path.relative_to(place))] = hashlib.sha256(content).hexdigest()
    result |= {f"report/{path.name}": "there" for path in (run / "report" / "figures").glob("*.svg")}
    return result


def flip_bytes(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for place in random.Random(len(content)).sample(range(len(content)), 8):
        content[place] ^= 0xFF
    path.write_bytes(content)


def cut_short(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def write_reviews(path: Path, count: int, rng: random.Random) -> None:
    """Write reviews spliced from the bundled sample, so that few are exact repeats."""
    with files("xingping").joinpath("data/sample_reviews.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        for number in range(count):
            row, other = rng.choice(rows), rng.choice(rows)
            text = row["Comment"].rstrip("。") + "，" + other["Comment"] if number % 10 else row["Comment"]
            writer.writerow(row | {"ID": number, "Comment": text, "Username": f"u{number}"})


def read_json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
