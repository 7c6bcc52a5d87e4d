import asyncio
import csv
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from toy import BAD, GOOD

pytest.importorskip("fastapi")

from fastapi.testclient import TestClient

from xingping import RatingPredictor
from xingping.config import ServeSettings
from xingping.errors import InputError
from xingping.serve import create_app
from xingping.serve.batching import Batcher, Work
from xingping.serve.guards import RateLimit
from xingping.serve.problems import Problem

TEXTS = [f"片子里{GOOD}看过", f"都{BAD}看过", "不错"]


@contextmanager
def serving(run, **settings):
    with TestClient(create_app(run, ServeSettings(**settings)), raise_server_exceptions=False) as client:
        for _ in range(600):
            if client.get("/readyz").status_code == 200:
                break
            time.sleep(0.05)
        yield client


@pytest.fixture(scope="module")
def client(trained_run):
    with serving(trained_run, max_texts=8, max_characters=100, max_body=4096) as client:
        yield client


def code_of(response, status):
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = response.json()["error"]
    assert set(error) == {"code", "message", "request_id"}
    assert error["request_id"] == response.headers["x-request-id"]
    return error["code"]


def test_ratings_are_those_of_the_predictor(client, trained_run):
    answer = client.post("/v1/predict", json={"texts": TEXTS})
    assert answer.status_code == 200
    expected = RatingPredictor.load(trained_run).predict(TEXTS)
    for index, rating in enumerate(answer.json()["ratings"]):
        assert rating["rating"] == expected.rating[index]
        assert rating["expected"] == pytest.approx(expected.expected[index], abs=1e-4)
        assert rating["probabilities"] == pytest.approx(expected.probabilities[index].tolist(), abs=1e-5)
        assert rating["set"] == [star + 1 for star in range(5) if expected.sets[index, star]]


def test_words_are_explained_and_their_places_are_right(client):
    (explained,) = client.post("/v1/explain", json={"texts": [f" 片子里{GOOD} "]}).json()["explanations"]
    assert "".join(word["word"] for word in explained["words"]) == explained["text"]
    for word in explained["words"]:
        assert explained["text"][word["start"] : word["end"]] == word["word"]
    assert max(explained["words"], key=lambda word: word["effect"])["word"] in GOOD


def test_words_of_long_texts_are_not_left_out_one_by_one(trained_run, monkeypatch):
    monkeypatch.setattr("xingping.serve.model.EFFECT_CHARACTERS", 6)
    with serving(trained_run) as client:
        texts = [f"{GOOD}看过", f"都{BAD}看过很久了", f"{GOOD}"]
        found = client.post("/v1/explain", json={"texts": texts}).json()["explanations"]
        assert [explained["text"] for explained in found] == texts
        assert [explained["words"][0]["effect"] is None for explained in found] == [False, True, False]
        assert all(word["gradient"] is not None for explained in found for word in explained["words"])


def test_explanations_that_would_take_too_long_are_refused(trained_run):
    with serving(trained_run, queue_tokens=3000) as client:
        body = {"texts": [f"{GOOD}{number}" * 9 for number in range(20)]}
        assert code_of(client.post("/v1/explain", json=body), 422) == "too_much"
        assert client.post("/v1/explain", json={"texts": body["texts"][:1]}).status_code == 200


def test_similar_reviews_are_of_training_and_near(client):
    (reviews,) = client.post("/v1/similar", json={"texts": [f"片子里{GOOD}看过"], "n": 3}).json()["similar"]
    assert len(reviews) == 3
    assert [review["similarity"] for review in reviews] == sorted((r["similarity"] for r in reviews), reverse=True)
    assert all(review["rating"] == 5 for review in reviews)


def test_the_model_describes_itself(client):
    described = client.get("/v1/model").json()
    assert described["task"] == "classification"
    assert 0 < described["test"]["accuracy"] <= 1
    assert described["coverage"] == 0.9
    assert described["similar"] is True


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        ("{", 422, "invalid_request"),
        ("[]", 422, "invalid_request"),
        ('{"texts": []}', 422, "invalid_request"),
        ('{"texts": "好看"}', 422, "invalid_request"),
        ('{"texts": [1]}', 422, "invalid_request"),
        ('{"texts": ["a"], "more": 1}', 422, "invalid_request"),
        ('{"texts": ["\\ud800"]}', 422, "invalid_request"),
        (json.dumps({"texts": ["x"] * 9}), 422, "invalid_request"),
        (json.dumps({"texts": ["x" * 101]}), 422, "invalid_request"),
        ("[" * 4000, None, None),
        (b'{"texts": ["\xff"]}', None, None),
        ("x" * 4097, 413, "body_too_large"),
    ],
)
def test_bad_bodies_are_refused_and_not_repeated(client, content, status, code):
    answer = client.post("/v1/predict", content=content, headers={"Content-Type": "application/json"})
    if status is None:
        assert answer.status_code in (400, 422)
        code_of(answer, answer.status_code)
    else:
        assert code_of(answer, status) == code
    assert "好看" not in answer.text
    assert client.post("/v1/predict", json={"texts": ["a"]}).status_code == 200


def test_a_body_without_a_length_is_bounded_too(client):
    answer = client.post("/v1/predict", content=(b"x" * 1000 for _ in range(10)))
    assert code_of(answer, 413) == "body_too_large"


@pytest.mark.parametrize("text", ["", " ", "\0", "<script>alert(1)</script>", "😀" * 50, "ab\r\nc", "‮反"])
def test_odd_texts_are_rated(client, text):
    assert client.post("/v1/predict", json={"texts": [text]}).json()["ratings"][0]["rating"] in range(1, 6)
    (explained,) = client.post("/v1/explain", json={"texts": [text]}).json()["explanations"]
    assert all(explained["text"][word["start"] : word["end"]] == word["word"] for word in explained["words"])


def test_what_is_not_there_has_the_same_shape(client):
    assert code_of(client.get("/nothing"), 404) == "not_found"
    assert code_of(client.get("/../../etc/passwd"), 404) == "not_found"
    assert code_of(client.get("/%2e%2e/%2e%2e/etc/passwd"), 404) == "not_found"
    assert code_of(client.get("/v1/predict"), 405) == "method_not_allowed"


def test_request_ids_are_kept_where_they_are_harmless(client):
    assert client.get("/healthz", headers={"X-Request-ID": "abc-1"}).headers["x-request-id"] == "abc-1"
    assert client.get("/healthz", headers={"X-Request-ID": "a b\t" * 99}).headers["x-request-id"] != "a b\t" * 99


def test_the_log_has_no_texts(client, capsys):
    client.post("/v1/predict", json={"texts": ["秘密的评论"]}, headers={"X-Request-ID": "told"})
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    (line,) = [line for line in lines if line.get("request_id") == "told"]
    assert (line["path"], line["status"]) == ("/v1/predict", 200)
    assert "秘密" not in json.dumps(lines, ensure_ascii=False)


def test_metrics_count_requests_and_batches(client):
    client.post("/v1/predict", json={"texts": TEXTS})
    shown = client.get("/metrics").text
    assert 'xingping_requests_total{method="POST",route="/v1/predict",status="200"}' in shown
    assert 'xingping_batch_texts_count{work="rate"}' in shown
    assert "xingping_waiting_tokens 0.0" in shown
    assert "/etc/passwd" not in shown


def test_the_page_and_what_it_needs_are_there(client):
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "https:" not in page.text
    for name in ("page.js", "page.css", "icon.svg", "openapi.json"):
        assert client.get(f"/{name}").status_code == 200
        assert f'"{name}"' in page.text
    assert "http" not in client.get("/page.js").text
    font = client.get("/font.otf")
    assert (font.status_code, font.headers["content-type"], font.content[:4]) == (200, "font/otf", b"OTTO")
    assert 'url("font.otf")' in client.get("/page.css").text


def rated_table(client, name, content, **wanted):
    table = client.post("/v1/tables", params={"name": name, **wanted}, content=content)
    assert table.status_code == 202, table.text
    address = f"/v1/tables/{table.json()['id']}"
    for _ in range(600):
        state = client.get(address).json()
        if state["state"] in ("done", "failed") and state["study"] in ("none", "done", "failed"):
            return state, client.get(f"{address}/rated")
        time.sleep(0.05)
    raise AssertionError(state)


def test_a_table_is_rated_in_the_background(client):
    content = f"电影,评论\n甲,{GOOD}看过\n甲,{BAD}\n=乙,\n".encode()
    state, rated = rated_table(client, "../../表.CSV", content, study=True)
    assert (state["state"], state["rows"], state["unrated"]) == ("done", 3, 1)
    assert 0 < state["done"] == state["total"] < len(content)  # the header is not rated
    assert (state["study"], state["film"]) == ("done", "甲")
    study = client.get(f"/v1/tables/{state['id']}/study")
    assert study.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in study.headers["content-security-policy"]
    assert "甲" in study.text
    assert [(film["film"], film["reviews"]) for film in state["films"]] == [("甲", 2)]
    assert rated.content.startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(rated.content.decode("utf-8-sig").splitlines()))
    assert [row["predicted_rating"] for row in rows] == ["5", "1", ""]
    assert rows[2]["电影"] == "'=乙"
    assert "attachment" in rated.headers["content-disposition"]


def test_films_that_are_called_like_numbers_or_formulas_have_their_names(client):
    rows = [f"{film},{GOOD}{number}" for film in ("1917", "=1+1", "NA") for number in range(3)]
    state, _ = rated_table(client, "t.csv", "\n".join(["电影,评论", *rows]).encode())
    assert sorted(film["film"] for film in state["films"]) == ["1917", "=1+1", "NA"]


@pytest.mark.parametrize("content", [b"\0\0", b"a,b\n1,2\n", b"\xff\xfe\xfd", b"[" * 3000])
def test_a_table_that_cannot_be_rated_says_why(client, content):
    answer = client.post("/v1/tables", params={"name": "t.csv"}, content=content)
    assert answer.status_code == 202
    state, rated = rated_table(client, "t.csv", content)
    assert state["state"] == "failed"
    assert state["message"]
    assert "/tmp" not in state["message"]
    assert code_of(rated, 409) == "not_done"
    assert client.post("/v1/predict", json={"texts": ["a"]}).status_code == 200


def test_tables_of_unknown_kinds_and_unknown_tables_are_refused(client):
    assert code_of(client.post("/v1/tables", params={"name": "t.zip"}, content=b"PK"), 415) == "unknown_format"
    assert code_of(client.post("/v1/tables", content=b"a"), 422) == "invalid_request"
    assert code_of(client.post("/v1/tables", params={"name": "t.csv"}, content=b""), 422) == "invalid_request"
    assert code_of(client.get("/v1/tables/..%2f..%2fetc"), 404) in ("no_such_table", "not_found")
    assert code_of(client.get("/v1/tables/nothing/rated"), 404) == "no_such_table"


def test_a_case_study_has_the_language_that_was_asked_for(client):
    content = "\n".join(["评论", *(f"{GOOD}第{number}遍" for number in range(6))]).encode()
    answer = client.post("/v1/tables", params={"name": "t.csv", "study": True, "language": "zh"}, content=content)
    address = f"/v1/tables/{answer.json()['id']}"
    assert code_of(client.get(f"{address}/study"), 409) == "not_done"
    for _ in range(600):
        state = client.get(address).json()
        if state["study"] not in ("waiting", "working"):
            break
        time.sleep(0.05)
    assert (state["study"], state["film"]) == ("done", "t")
    assert '<html lang="zh-Hans">' in client.get(f"{address}/study").text
    assert code_of(client.post("/v1/tables", params={"name": "t.csv", "language": "fr"}, content=b"a"), 422)


def test_the_table_of_a_study_that_fails_can_still_be_had(client, monkeypatch):
    monkeypatch.setattr("xingping.serve.jobs.STUDIED_REVIEWS", 1)
    state, rated = rated_table(client, "t.csv", f"评论\n{GOOD}1\n{GOOD}2\n".encode(), study=True)
    assert (state["state"], state["study"]) == ("done", "failed")
    assert "2 reviews" in state["study_message"]
    assert rated.status_code == 200


def test_files_of_a_table_go_with_it(trained_run, monkeypatch):
    monkeypatch.setattr("xingping.serve.jobs.MOST_KEPT", 1)
    with serving(trained_run) as client:
        first, _ = rated_table(client, "a.csv", f"评论\n{GOOD}\n".encode())
        folders = list(Path(tempfile.gettempdir()).glob("xingping-tables-*/*"))
        assert f"{first['id']}" in {folder.name for folder in folders}
        rated_table(client, "b.csv", f"评论\n{GOOD}\n".encode())
        assert code_of(client.get(f"/v1/tables/{first['id']}/study"), 404) == "no_such_table"
        assert first["id"] not in {path.name for path in Path(tempfile.gettempdir()).glob("xingping-tables-*/*")}
    assert not list(Path(tempfile.gettempdir()).glob(f"xingping-tables-*/{first['id']}"))


def test_keys_are_needed_where_there_are_keys(trained_run, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("# ours\nfirst\n\nsecond \n", encoding="utf-8")
    with serving(trained_run, api_keys=keys) as client:
        body = {"texts": ["a"]}
        refused = client.post("/v1/predict", json=body)
        assert code_of(refused, 401) == "unauthorized"
        assert refused.headers["www-authenticate"] == "Bearer"
        for headers in ({"X-API-Key": "third"}, {"Authorization": "Bearer # ours"}, {"Authorization": "Basic first"}):
            assert code_of(client.post("/v1/predict", json=body, headers=headers), 401) == "unauthorized"
        for headers in ({"X-API-Key": "first"}, {"Authorization": "Bearer second"}):
            assert client.post("/v1/predict", json=body, headers=headers).status_code == 200
        assert client.get("/healthz").status_code == 200


def test_files_of_keys_that_hold_none_are_refused(trained_run, tmp_path):
    (tmp_path / "empty").write_text("# nothing\n", encoding="utf-8")
    for name in ("empty", "missing"):
        with pytest.raises(InputError, match=name):
            create_app(trained_run, ServeSettings(api_keys=tmp_path / name))


def test_too_many_requests_are_told_when_to_come_again(trained_run):
    with serving(trained_run, rate_limit=2) as client:
        statuses = [client.post("/v1/predict", json={"texts": ["a"]}).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        refused = client.post("/v1/predict", json={"texts": ["a"]})
        assert code_of(refused, 429) == "rate_limited"
        assert 1 <= int(refused.headers["retry-after"]) <= 60


def test_an_allowance_fills_up_again(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("xingping.serve.guards.time.monotonic", lambda: now[0])
    limit = RateLimit(60)
    for _ in range(60):
        limit.check("a")
    with pytest.raises(Problem):
        limit.check("a")
    limit.check("b")
    now[0] = 1.0
    limit.check("a")


class Gate:
    """Work that waits until it is let through, and notes what came together."""

    def __init__(self):
        self.open, self.batches = threading.Event(), []
        self.work = Work("gate", self.run)

    def run(self, texts):
        self.open.wait(10)
        self.batches.append(list(texts))
        if "bad" in texts:
            raise ValueError("bad")
        return [text.upper() for text in texts]


def submit(batcher, gate, *requests, seconds=10.0):
    """Send requests at once; the first is taken alone, the others gather behind it."""

    async def one(texts):
        try:
            return await batcher.submit(gate.work, texts, seconds=seconds)
        except Exception as error:
            return error

    async def everything():
        first = asyncio.create_task(one(requests[0]))
        await asyncio.sleep(0.1)
        rest = [asyncio.create_task(one(texts)) for texts in requests[1:]]
        await asyncio.sleep(0.1)
        gate.open.set()
        return await asyncio.gather(first, *rest)

    return asyncio.run(everything())


def test_requests_that_wait_are_worked_on_together():
    gate = Gate()
    batcher = Batcher(budget=9, capacity=1000)
    answers = submit(batcher, gate, ["a"], ["b", "c"], ["d"], ["e"])
    assert answers == [["A"], ["B", "C"], ["D"], ["E"]]
    assert gate.batches == [["a"], ["b", "c", "d"], ["e"]]
    batcher.close()


def test_without_a_budget_each_request_is_alone():
    gate = Gate()
    batcher = Batcher(budget=0, capacity=1000)
    assert submit(batcher, gate, ["a"], ["b"], ["c"]) == [["A"], ["B"], ["C"]]
    assert gate.batches == [["a"], ["b"], ["c"]]
    batcher.close()


def test_a_request_that_fails_does_not_take_others_with_it():
    gate = Gate()
    batcher = Batcher(budget=100, capacity=1000)
    first, failed, good = submit(batcher, gate, ["a"], ["bad"], ["c"])
    assert (first, good) == (["A"], ["C"])
    assert isinstance(failed, ValueError)
    batcher.close()


def test_a_full_queue_turns_requests_away_and_drains():
    gate = Gate()
    batcher = Batcher(budget=100, capacity=5)
    answers = submit(batcher, gate, ["a"], ["b"], ["c"])
    assert answers[:2] == [["A"], ["B"]]
    assert (answers[2].status, answers[2].code) == (503, "queue_full")
    assert int(answers[2].headers["Retry-After"]) >= 1
    assert batcher.waiting == 0
    assert submit(batcher, gate, ["x" * 50]) == [["X" * 50]]  # larger than the queue, but nothing else waits
    batcher.close()


def test_a_request_that_waits_too_long_is_given_up_and_never_done():
    gate = Gate()
    batcher = Batcher(budget=0, capacity=1000)
    answers = submit(batcher, gate, ["a"], ["b"], seconds=0.05)
    assert [answer.code for answer in answers] == ["deadline", "deadline"]
    batcher.close()
    assert gate.batches == [["a"]]
    assert batcher.waiting == 0


def test_a_closed_batcher_has_finished_what_it_took():
    gate = Gate()
    batcher = Batcher(budget=0, capacity=1000)

    async def both():
        tasks = [asyncio.create_task(batcher.submit(gate.work, [name], seconds=10)) for name in "ab"]
        await asyncio.sleep(0.1)
        threading.Timer(0.1, gate.open.set).start()
        await asyncio.to_thread(batcher.close)
        with pytest.raises(Problem, match="closing"):
            await batcher.submit(gate.work, ["c"], seconds=10)
        return await asyncio.gather(*tasks)

    assert asyncio.run(both()) == [["A"], ["B"]]


@pytest.fixture
def server(trained_run):
    """Give the address and the process of `xingping serve`, what it logs, and the thread that reads that."""
    command = [sys.executable, "-m", "xingping", "serve", str(trained_run), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        lines = iter(process.stderr.readline, "")
        address = next(json.loads(line)["url"] for line in lines if '"listening"' in line)
        next(line for line in lines if '"ready"' in line)
        logged = []
        reader = threading.Thread(target=lambda: logged.extend(lines), daemon=True)
        reader.start()
        yield address, process, logged, reader
        process.kill()


def post(address, texts):
    body = json.dumps({"texts": texts}).encode()
    request = urllib.request.Request(f"{address}/v1/predict", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return len(json.load(answer)["ratings"])


def test_sigterm_ends_with_0_and_every_accepted_request_is_answered(server):
    address, process, logged, reader = server
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(post, address, [f"{i}不错" * 20] * 100) for i in range(8)]
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        served = [answer.result() for answer in answers if answer.exception() is None]
        refused = [answer.exception() for answer in answers if answer.exception() is not None]
    assert set(served) == {100}
    assert all("refused" in str(error) or "Connection reset" in str(error) for error in refused)
    assert len(served) >= 4
    reader.join(60)
    (closed,) = [json.loads(line) for line in logged if '"closed"' in line]
    assert (closed["accepted"], closed["answered"], closed["left"]) == (len(served), len(served), 0)


def test_a_half_closed_or_silent_client_harms_nobody(server):
    address, *_ = server
    host, port = address.removeprefix("http://").split(":")
    for sent in (b"POST /v1/predict HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{", b"GET / HT", b"\x16\x03\x01"):
        sock = socket.create_connection((host, int(port)))
        sock.sendall(sent)
        sock.shutdown(socket.SHUT_WR)
        sock.close()
    assert post(address, ["不错"]) == 1


def test_a_model_that_cannot_be_loaded_ends_the_server_with_2(tmp_path):
    command = [sys.executable, "-m", "xingping", "serve", str(tmp_path), "--port", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert "holds no model" in done.stderr.splitlines()[-1]
    assert os.linesep.join(done.stderr.splitlines()).count("Traceback") == 0
