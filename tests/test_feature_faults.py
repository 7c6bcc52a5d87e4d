"""A store among kills, flipped bytes, full disks and other processes."""

import errno
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import numpy as np
import pytest

from store_worker import encode, open_store
from toy import ToyEncoder
from xingping.errors import EncoderError, OutputError
from xingping.features.claims import Claim
from xingping.features.shards import open_shard

TEXTS = [f"第{number}条：{'妙' * (number % 7)}片子" for number in range(320)]

processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["xingping.features"])


def contents(store):
    return {path.name: path.read_bytes() for path in store.folder.iterdir()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    store = open_store(tmp_path_factory.mktemp("undisturbed"))
    store.encode(ToyEncoder(), TEXTS)
    return contents(store)


@pytest.fixture
def store(tmp_path):
    store = open_store(tmp_path)
    store.encode(ToyEncoder(), TEXTS)
    return store


def some_shard(store, number=3):
    return sorted(store.folder.glob("shard-*.arrow"))[number]


def repair(store):
    """Open the store anew, as the next run does, and encode; return what was encoded."""
    encoder = ToyEncoder()
    again = open_store(store.folder.parent)
    again.encode(encoder, TEXTS)
    return encoder.encoded


def test_killed_at_any_moment_it_goes_on_to_the_same_store(tmp_path, undisturbed):
    store = open_store(tmp_path)
    moments = random.Random(0)
    kills = 0
    while kills < 6:
        before = store.count_missing(TEXTS)
        process = processes.Process(target=encode, args=(str(tmp_path), TEXTS))
        process.start()
        while process.is_alive() and store.count_missing(TEXTS) == before:  # a slow start is no progress
            time.sleep(0.001)
        process.join(moments.uniform(0, 0.03))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.join()
        if process.exitcode == 0:
            break
    assert kills >= 3
    store.encode(ToyEncoder(), TEXTS)
    assert contents(store) == undisturbed


def test_a_kill_loses_at_most_the_shards_in_flight(tmp_path):
    process = processes.Process(target=encode, args=(str(tmp_path), TEXTS))
    process.start()
    store = open_store(tmp_path)
    while store.count_missing(TEXTS) > 200:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    missing = store.count_missing(TEXTS)
    encoder = ToyEncoder()
    assert open_store(tmp_path).encode(encoder, TEXTS) == missing
    assert len(encoder.encoded) == missing <= 200


@pytest.mark.parametrize("dtype", ["fp16", "int8"])
def test_processes_share_the_work_and_end_with_the_same_store(tmp_path, dtype):
    counts = processes.Queue()
    workers = [processes.Process(target=encode, args=(str(tmp_path), TEXTS, dtype, counts)) for _ in range(3)]
    for worker in workers:
        worker.start()
    done = [counts.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sum(done) == len(TEXTS)  # nothing twice
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    alone = open_store(tmp_path / "alone", dtype)
    alone.encode(ToyEncoder(), TEXTS)
    assert contents(open_store(tmp_path, dtype)) == contents(alone)


def test_what_a_killed_process_had_claimed_is_taken_over(tmp_path, undisturbed):
    store = open_store(tmp_path)
    first = next(iter(store.plan(TEXTS)))
    assert len(first) == 8
    name = next(iter(open_store(tmp_path)._plan(TEXTS).chunks())).name
    claim = Claim.take(store.folder / name, wait=False)
    done = []
    worker = threading.Thread(target=lambda: done.append(store.encode(ToyEncoder(), TEXTS)))
    worker.start()
    while len(list(store.folder.glob("shard-*.arrow"))) < 39:  # all but the claimed one
        time.sleep(0.005)
    assert worker.is_alive()
    os.close(claim._handle)  # the lock goes as it does when its process is killed; the files stay
    worker.join(30)
    assert done == [len(TEXTS)]
    assert contents(store) == undisturbed


def test_a_truncated_shard_is_named_and_only_it_is_encoded_again(store, undisturbed, caplog):
    shard = some_shard(store)
    shard.write_bytes(shard.read_bytes()[:-100])
    assert len(repair(store)) == 8
    assert caplog.text.count(shard.name) == 1
    assert contents(store) == undisturbed


def test_a_missing_shard_is_named_and_only_it_is_encoded_again(store, undisturbed, caplog):
    shard = some_shard(store)
    shard.unlink()
    assert len(repair(store)) == 8
    assert f"{shard.name} is missing" in caplog.text
    assert contents(store) == undisturbed


@pytest.mark.parametrize("where", ["head", "keys", "values", "end"])
def test_a_flipped_byte_is_found_wherever_it_is(store, undisturbed, caplog, where):
    shard = some_shard(store)
    data = bytearray(shard.read_bytes())
    place = {"head": 20, "keys": data.index(np.uint64(open_shard(shard, store.layout).keys[0, 0]).tobytes())}
    place |= {"values": len(data) // 2, "end": len(data) - 20}
    data[place[where]] ^= 4
    shard.unlink()
    shard.write_bytes(data)
    assert len(repair(store)) == 8
    assert caplog.text.count(shard.name) == 1
    assert contents(store) == undisturbed


def test_several_damaged_shards_become_themselves_again_beside_new_texts(store, undisturbed):
    for number in (2, 9, 30):
        some_shard(store, number).write_bytes(b"")
    encoder = ToyEncoder()
    again = open_store(store.folder.parent)
    again.encode(encoder, ["新的一条", *TEXTS[:100], "又一条", *TEXTS[100:]])
    assert len(encoder.encoded) == 3 * 8 + 2
    assert undisturbed.items() - contents(again).items() == {("manifest.json", undisturbed["manifest.json"])}


def test_a_damaged_shard_that_nobody_asks_for_harms_nobody(store, caplog):
    shard = store.folder / sorted(undamaged.name for undamaged in store.folder.glob("shard-*"))[0]
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.unlink()
    shard.write_bytes(data)
    shards = store.view(TEXTS[:8] + TEXTS[-8:]).shards
    others = [text for text, number in zip(TEXTS[:8] + TEXTS[-8:], shards, strict=True) if number != 0]
    assert len(open_store(store.folder.parent).view(others)) == len(others) > 0
    assert caplog.text == ""


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b"[]", b'{"shards": [{"name": "shard-1"}]}'])
def test_a_damaged_manifest_is_built_anew_from_the_shards(store, undisturbed, caplog, damage):
    (store.folder / "manifest.json").write_bytes(damage)
    assert repair(store) == []
    assert "manifest.json" in caplog.text
    assert contents(store) == undisturbed


def test_a_changed_digit_in_the_manifest_is_noticed(store, undisturbed, caplog):
    path = store.folder / "manifest.json"
    path.write_text(path.read_text().replace('"texts": 8', '"texts": 9', 1))
    assert repair(store) == []
    assert "checksum" in caplog.text
    assert contents(store) == undisturbed


def test_a_lost_manifest_does_not_vouch_for_damaged_shards(store, undisturbed):
    shard = some_shard(store)
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    (store.folder / "manifest.json").unlink()
    assert len(repair(store)) == 8
    assert contents(store) == undisturbed


def test_an_unlisted_shard_is_left_to_its_writer(store):
    entry = store.write(["没有列出"], ToyEncoder().encode(["没有列出"]))
    assert open_store(store.folder.parent).missing(["没有列出"]) == ["没有列出"]
    repair(store)
    assert (store.folder / entry.name).exists()


def test_leftovers_of_killed_processes_go_and_those_of_living_ones_stay(store):
    name = "shard-abc.arrow"
    living = Claim.take(store.folder / name, wait=False)
    for left in (f".{name}.part", ".shard-dead.arrow.lock", ".shard-dead.arrow.part"):
        (store.folder / left).write_bytes(b"half")
    repair(store)
    assert {path.name for path in store.folder.glob(".*")} == {f".{name}.part", f".{name}.lock"}
    living.release()
    assert not list(store.folder.glob(".*"))


def test_a_full_disk_is_one_clear_line_and_the_store_stays_whole(tmp_path, monkeypatch, undisturbed):
    written = []

    def full(handle):
        written.append(handle)
        if len(written) > 11:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    fsync = os.fsync
    monkeypatch.setattr("os.fsync", full)
    store = open_store(tmp_path)
    with pytest.raises(OutputError, match=r"cannot write .*No space left on device.*XINGPING_CACHE") as caught:
        store.encode(ToyEncoder(), TEXTS)
    assert "\n" not in str(caught.value)
    assert not list(store.folder.glob(".*"))
    monkeypatch.undo()
    kept = len(TEXTS) - store.count_missing(TEXTS)
    assert kept >= 8
    encoder = ToyEncoder()
    open_store(tmp_path).encode(encoder, TEXTS)
    assert len(encoder.encoded) == len(TEXTS) - kept
    assert contents(store) == undisturbed


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("only root can mount")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_what_cannot_fit_is_refused_before_the_work(small_disk):
    encoder = ToyEncoder()
    texts = [f"{number}" + "妙" * 40 for number in range(2000)]
    with pytest.raises(OutputError, match=r"need 4\.\d+ MB in .*, but 1\.05 MB are free.*--feature-dtype int8"):
        open_store(small_disk).encode(encoder, texts)
    assert encoder.encoded == []


def test_a_disk_that_fills_meanwhile_keeps_what_was_stored(small_disk, monkeypatch):
    monkeypatch.setattr("xingping.features.store.fits_surely", lambda *_: True)  # another program takes the room
    texts = [f"{number}" + "妙" * 40 for number in range(2000)]
    store = open_store(small_disk)
    with pytest.raises(OutputError, match="No space left on device"):
        store.encode(ToyEncoder(), texts)
    missing = open_store(small_disk).missing(texts)
    assert 0 < len(missing) < len(texts)
    stored = [text for text in texts if text not in set(missing)]
    view = open_store(small_disk).view(stored)
    np.testing.assert_array_equal(view.packed(np.arange(len(stored))).values, ToyEncoder().encode(stored).values)
    assert not list(store.folder.glob(".shard*"))


def test_an_encoder_that_fails_keeps_what_was_stored_and_gives_back_what_it_claimed(tmp_path, undisturbed):
    class Failing(ToyEncoder):
        def encode(self, texts, *, progress=None):
            if len(self.encoded) >= 24:
                raise EncoderError("no numbers")
            return super().encode(texts, progress=progress)

        def encode_chunks(self, chunks, *, progress=None):
            waiting = next(chunks)
            for following in chunks:
                yield self.encode(waiting, progress=progress)
                waiting = following

    store = open_store(tmp_path)
    with pytest.raises(EncoderError, match="no numbers"):
        store.encode(Failing(), TEXTS)
    assert store.count_missing(TEXTS) == len(TEXTS) - 24
    assert not list(store.folder.glob(".*"))
    store.encode(ToyEncoder(), TEXTS)
    assert contents(store) == undisturbed
