import json
import subprocess
import sys
from pathlib import Path

HARNESS = Path(__file__).resolve().parents[1] / "benchmarks" / "faults.py"


def test_a_killed_damaged_or_starved_run_ends_like_an_undisturbed_one(tmp_path, tiny_encoder_folder):
    figures = tmp_path / "figures.json"
    command = [sys.executable, str(HARNESS), "--reviews", "500", "--kills", "5", "--encoder", str(tiny_encoder_folder)]
    command += ["--keep", str(tmp_path / "work"), "--json", str(figures)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(figures.read_text(encoding="utf-8"))
    assert found["kills"] >= 3
    assert {"flipped bytes", "a shard cut short", "a shard deleted"} <= {check["what"] for check in found["checks"]}
