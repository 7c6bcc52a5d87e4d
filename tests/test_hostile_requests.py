"""What comes from strangers, sent to a server process over sockets: each is answered properly, and it stays well."""

import contextlib
import gzip
import io
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toy import BAD, GOOD

pytest.importorskip("fastapi")

PATIENCE = 2
"""Seconds that the server waits for a request."""

WAIT = 60
"""Seconds that a test waits for the server."""

SECRET = "这句话不该出现在日志里"


class Server:
    """A server process, its address, and the lines that it logs."""

    def __init__(self, process):
        self.process, self.lines = process, []
        seen = {}
        while not {"listening", "ready"} <= set(seen):
            line = process.stderr.readline()
            assert line, "".join(self.lines)
            self.lines.append(line)
            if line.startswith("{"):
                seen[json.loads(line)["event"]] = json.loads(line)
        self.port = int(seen["listening"]["url"].rpartition(":")[2])
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        self.lines += self.process.stderr

    def events(self):
        return [json.loads(line) for line in list(self.lines) if line.startswith("{")]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(WAIT)
        self._reader.join(WAIT)
        return code


@pytest.fixture(scope="module")
def server(trained_run):
    command = [sys.executable, "-m", "xingping", "serve", str(trained_run), "--port", "0"]
    command += ["--request-seconds", str(PATIENCE), "--max-table", str(16 << 20)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        yield Server(process)
        process.kill()


class Answer:
    """A status line, headers and a body."""

    def __init__(self, head, body):
        status, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(status.split(" ")[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        self.body = body

    def json(self):
        return json.loads(self.body)


def read_answer(file):
    """Read one answer; None where the connection ends before it."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = file.read(1)
        if not byte:
            return None
        head += byte
    answer = Answer(head[:-4], b"")
    if answer.status == 100:
        return read_answer(file)
    answer.body = file.read(int(answer.headers.get("content-length", 0)))
    return answer


@contextlib.contextmanager
def connected(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=WAIT) as sock:
        yield sock, sock.makefile("rb")


def send(server, data, *, half_close=False, pause=0.0):
    """Send bytes, or pieces of bytes with pauses between them, and return the first answer."""
    with connected(server) as (sock, file):
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it may answer before it has all
            for piece in [data] if isinstance(data, bytes) else data:
                sock.sendall(piece)
                time.sleep(pause)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
        return read_answer(file)


def request(body=b"", path="/v1/predict", *, method="POST", kind="application/json", length=None, headers=()):
    """Return the bytes of a request."""
    body = body.encode() if isinstance(body, str) else body
    lines = [f"{method} {path} HTTP/1.1", "Host: a", *headers]
    if kind:
        lines.append(f"Content-Type: {kind}")
    if length != "":
        lines.append(f"Content-Length: {len(body) if length is None else length}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def texts(*some, **more):
    return json.dumps({"texts": some, **more}, ensure_ascii=False)


def chunked(*chunks):
    return b"".join(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n" for chunk in chunks)


def with_chunks(body):
    return request(length="", headers=["Transfer-Encoding: chunked"]) + body


def is_well(server):
    answer = send(server, request(texts(GOOD)))
    assert (answer.status, answer.json()["ratings"][0]["rating"]) == (200, 5)
    assert server.process.poll() is None


@pytest.fixture(autouse=True)
def still_well(server):
    yield
    is_well(server)


def check(answer, *statuses):
    """See that an answer has one of some statuses and the shape of all answers."""
    assert answer is not None
    assert answer.status in statuses, answer.body
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    if answer.status >= 400:
        error = answer.json()["error"]
        assert set(error) == {"code", "message", "request_id"}
        assert error["request_id"] == answer.headers["x-request-id"]
    assert SECRET.encode() not in answer.body or answer.status == 200
    return answer


DEEP = 100_000
MEGABYTE = b"x" * (1 << 20)

BODIES = {
    "10 MB": (b'{"texts": ["' + 10 * MEGABYTE + b'"]}', 413),
    "nothing": (b"", 422),
    "NUL as an escape": (r'{"texts": ["\u0000"]}', 200),
    "NUL as a byte": (b'{"texts": ["\0"]}', 422),
    "NULs alone": (b"\0" * 1000, 422),
    "half a surrogate pair": (r'{"texts": ["\ud800' + SECRET + '"]}', 422),
    "100,000 characters": (texts(SECRET * 10_000), 422),
    "20,000 characters": (texts("好" * 20_000), 200),
    "one word 20,000 times": (texts("a " * 10_000), 200),
    "deep arrays": ("[" * DEEP, 400),
    "deep arrays, closed": ("[" * DEEP + "]" * DEEP, 400),
    "deep objects": ('{"texts":' * DEEP, 400),
    "a number of 5,000 digits": ('{"texts": ["a"], "n": ' + "9" * 5000 + "}", 400),
    "a number beyond floats": ('{"texts": ["a"], "n": 1e999}', 422),
    "NaN for a text": ('{"texts": [NaN]}', 422),
    "NaN and infinity": ('{"texts": NaN, "n": -Infinity}', 422),
    "a key twice": ('{"texts": [1], "texts": ["' + GOOD + '"]}', 200),
    "the same text 257 times": (texts(*["a"] * 257), 422),
    "a null": ('{"texts": [null]}', 422),
    "another field": (texts("a", admin=True), 422),
    "__proto__": ('{"__proto__": {"texts": ["a"]}}', 422),
    "invalid UTF-8": (b'{"texts": ["\xff\xfe"]}', 400),
    "GB18030": ('{"texts": ["' + SECRET + '"]}').encode("gb18030"),
    "UTF-16": (texts("好看").encode("utf-16"), 200),
    "a byte order mark": (b"\xef\xbb\xbf" + texts("好看").encode(), 200),
    "markup": (texts("<script>alert(1)</script>", "{{7*7}}", "${7*7}", "'; DROP TABLE x; --"), 200),
    "directions and joiners": (texts("\u202e反\u2066\u200d\ufeff", "👨‍👩‍👧‍👦" * 500), 200),
    "combining marks": (texts("e" + "\u0301" * 5000), 200),
}  # fmt: skip
BODIES["GB18030"] = (BODIES["GB18030"], 400)


@pytest.mark.parametrize("name", BODIES)
def test_a_body(server, name):
    body, status = BODIES[name]
    check(send(server, request(body)), status)


KINDS = {
    "text": ("text/plain", 422),
    "a form": ("application/x-www-form-urlencoded", 422),
    "parts without a boundary": ("multipart/form-data", 422),
    "none": (None, 422),
    "another character set": ("application/json; charset=gb2312", 200),
    "nonsense": ("\x7f\x7f", 422),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_content_type(server, name):
    kind, status = KINDS[name]
    check(send(server, request(texts("好看"), kind=kind)), status)


BOMB = gzip.compress(b"0" * (50 << 20))

HEADS = {
    "a gzip bomb as encoding": (request(BOMB, headers=["Content-Encoding: gzip"]), 400),
    "a negative length": (request(length="-1"), 400),
    "a length of words": (request(length="many"), 400),
    "a length of 30 digits": (request(length="9" * 30), 400),
    "a length of 18 digits": (request(length="9" * 18), 413),
    "two lengths": (request(texts("a"), headers=["Content-Length: 3"]), 400),
    "a length and chunks": (request(b"0\r\n\r\n", headers=["Transfer-Encoding: chunked"]), 400, 422),
    "a chunk of a bad size": (with_chunks(b"zz\r\nab\r\n"), 400),
    "a chunk of a huge size": (with_chunks(b"f" * 30 + b"\r\nab\r\n"), 400),
    "chunks beyond the limit": (with_chunks(chunked(*[MEGABYTE] * 10, b"")), 413),
    "an unknown transfer encoding": (request(length="", headers=["Transfer-Encoding: gzip"]), 400, 501),
    "100 kB of one header": (request(texts("a"), headers=["X: " + "x" * 100_000]), 400, 431),
    "5,000 headers": (request(texts("a"), headers=[f"X-{i}: y" for i in range(5000)]), 400, 431),
    "a header with a control": (request(texts("a"), headers=["X: a\x01b"]), 200, 400),
    "a header without a name": (request(texts("a"), headers=[": b"]), 400),
    "a folded header": (request(texts("a"), headers=["X: a\r\n b"]), 200, 400),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
    "HTTP 0.9": (b"GET /healthz\r\n\r\n", 400),
    "HTTP 9.9": (b"GET /healthz HTTP/9.9\r\nHost: a\r\n\r\n", 200, 400, 505),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) + b"\r\n\r\n", 400),
    "bytes at random": (bytes((i * 37 + 11) % 256 for i in range(5000)) + b"\r\n\r\n", 400),
    "SSH": (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", 400),
    "a method of one's own": (request(texts("a"), method="EXPLODE"), 405),
    "TRACE": (request(path="/v1/predict", method="TRACE"), 405),
    "CONNECT": (b"CONNECT example.org:443 HTTP/1.1\r\nHost: a\r\n\r\n", 404),
    "a socket of the web": (
        request(path="/", method="GET", headers=["Connection: Upgrade", "Upgrade: websocket"]), 200, 404,
    ),
    "a proxy's address": (request(path="http://example.org/", method="GET"), 404),
    "up": (request(path="/../../../../etc/passwd", method="GET"), 404),
    "up, encoded": (request(path="/%2e%2e/%2e%2e/etc/passwd", method="GET"), 404),
    "up, encoded twice": (request(path="/%252e%252e%252fetc%252fpasswd", method="GET"), 404),
    "up, overlong": (request(path="/%c0%ae%c0%ae/etc/passwd", method="GET"), 404),
    "up, backwards": (request(path="/..%5c..%5cetc%5cpasswd", method="GET"), 404),
    "up from a table": (request(path="/v1/tables/..%2f..%2f..%2fetc%2fpasswd/rated", method="GET"), 404),
    "NUL in a path": (request(path="/page.js%00.html", method="GET"), 404),
    "a line end in a path": (request(path="/%0d%0aSet-Cookie:a=b", method="GET"), 404),
    "a path of 20,000 characters": (request(path="/" + "a" * 20_000, method="GET"), 404),
    "a path of 100,000 characters": (request(path="/" + "a" * 100_000, method="GET"), 400, 431),
    "a line end in the request id": (request(texts("a"), headers=["X-Request-ID: a%0d%0aSet-Cookie: b"]), 200),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADS)
def test_a_head(server, name):
    sent, *statuses = HEADS[name]
    answer = send(server, sent)
    assert answer is not None
    if name != "a socket of the web":  # which is answered with the page
        check(answer, *statuses)
    assert answer.status in statuses
    assert "set-cookie" not in answer.headers
    assert b"root:" not in answer.body


def test_a_body_in_chunks_is_taken(server):
    check(send(server, with_chunks(chunked(*(bytes([byte]) for byte in texts("好看").encode()), b""))), 200)


def test_chunks_that_never_end_are_given_up(server):
    answer = check(send(server, with_chunks(chunked(b'{"texts": ["'))), 408)
    assert answer.json()["error"]["code"] == "slow_body"


def test_a_head_that_comes_byte_by_byte_is_given_up(server):
    answer = send(server, (bytes([byte]) for byte in request(texts("a"))), pause=PATIENCE / 30)
    assert check(answer, 408).json()["error"]["code"] == "slow_request"


def test_a_body_that_comes_byte_by_byte_is_given_up(server):
    def slowly():
        yield request(length=1000)
        for _ in range(60):
            yield b" "

    assert check(send(server, slowly(), pause=PATIENCE / 20), 408).json()["error"]["code"] == "slow_body"


def test_a_client_that_says_nothing_is_let_go(server):
    with connected(server) as (_sock, file):
        assert read_answer(file) is None


def test_a_client_that_has_closed_its_half_is_answered(server):
    answer = check(send(server, request(texts(GOOD)), half_close=True), 200)
    assert answer.json()["ratings"][0]["rating"] == 5


def test_a_client_that_closes_its_half_in_the_middle_is_let_go(server):
    assert send(server, request(b'{"texts"', length=1000), half_close=True) is None
    assert send(server, request(texts("a"))[:20], half_close=True) is None


def test_requests_in_a_row_are_answered_in_their_order(server):
    for close in (False, True):
        with connected(server) as (sock, file):
            sock.sendall(b"".join(request(texts(text)) for text in (GOOD, BAD, GOOD)) + b"nonsense\r\n\r\n" * close)
            if close:
                sock.shutdown(socket.SHUT_WR)
            answers = [check(read_answer(file), 200) for _ in range(3)]
            assert [answer.json()["ratings"][0]["rating"] for answer in answers] == [5, 1, 5]


def test_more_bytes_than_announced_are_another_request(server):
    with connected(server) as (sock, file):
        sock.sendall(request(texts(GOOD)) + b"and more\r\n\r\n")
        check(read_answer(file), 200)
        check(read_answer(file), 400)
        assert read_answer(file) is None


def test_clients_that_wait_do_not_keep_others_out(server):
    with contextlib.ExitStack() as stack:
        for number in range(200):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=WAIT))
            sock.sendall([b"", b"POST /v1/pre", request(b"{", length=100)][number % 3])
        is_well(server)


def test_a_client_that_does_not_read_its_answer_is_let_go(server):
    with connected(server) as (sock, _file):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = request(texts(*[f"{number}{GOOD}" for number in range(256)], n=50), path="/v1/similar")
        for _ in range(20):
            sock.sendall(body)
        deadline = time.monotonic() + WAIT
        while time.monotonic() < deadline:
            with connected(server) as (other, file):
                other.sendall(request(path="/healthz", method="GET"))
                assert read_answer(file).status == 200
            try:
                sock.sendall(b" ")
            except (BrokenPipeError, ConnectionResetError):
                return
            time.sleep(0.2)
        pytest.fail("the connection is still there")


def test_a_body_is_not_read_where_its_length_is_too_much(server):
    answer = send(server, request(length=10 << 20, headers=["Expect: 100-continue"]))
    check(answer, 413)


def upload(server, name, content, *, study=False):
    """Send a table, wait for its end, and return what the server says of it."""
    address = f"/v1/tables?name={name}&study={study}"
    answer = send(server, request(content, path=address, kind="text/csv"))
    if answer.status != 202:
        return check(answer, 413, 415, 422)
    address = f"/v1/tables/{check(answer, 202).json()['id']}"
    for _ in range(10 * WAIT):
        state = check(send(server, request(path=address, method="GET", kind=None)), 200).json()
        if state["state"] in ("done", "failed") and state["study"] in ("none", "done", "failed"):
            return state, address
        time.sleep(0.1)
    raise AssertionError(state)


def zip_of(name, content):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return packed.getvalue()


def parquet_of(table):
    packed = io.BytesIO()
    pq.write_table(table, packed)
    return packed.getvalue()


PACKED = {
    "a zip bomb": ("t.zip", zip_of("t.csv", b"text\n" + b"0" * (50 << 20))),
    "a zip bomb by another name": ("t.csv", zip_of("t.csv", b"text\n" + b"0" * (50 << 20))),
    "a gzip bomb": ("t.csv.gz", BOMB),
    "a gzip bomb by another name": ("t.csv", BOMB),
    "gzip in gzip": ("t.jsonl", gzip.compress(BOMB)),
    "a Parquet bomb by another name": ("t.tsv", parquet_of(pa.table({"text": ["0" * 1000] * 100_000}))),
    "a name with an end of line": ("t.csv%0a", b"text\na\n"),
    "a program": ("t.exe", b"MZ"),
}


@pytest.mark.parametrize("name", PACKED)
def test_a_packed_table_is_refused(server, name):
    assert upload(server, *PACKED[name]).status == 415


FAILING = {
    "blank lines": (b"\n\n\n", "empty"),
    "a header alone": (b"text\n", ""),
    "NULs": (b"\0" * 10_000, "binary|unknown|no text"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "PNG"),
    "a million columns": (b",".join(b"c%d" % i for i in range(1_000_000)) + b"\n", "1,000,000 columns"),
    "a million columns of one name": (b"a," * 1_000_000 + b"text\n", "1,000,001 columns"),
    "no column of texts": (b"a,b\n1,2\n", "no text column"),
    "open quotes": (b'"text\n' * 1000, "quotes|no text|text"),
    "deep JSON": (b"[" * 3000, "not valid JSON|no text|deep"),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_table_that_is_none(server, name):
    content, reason = FAILING[name]
    state, address = upload(server, "t.json" if "JSON" in name else "t.csv", content)
    if name == "a header alone":
        assert (state["state"], state["rows"]) == ("done", 0)
        return
    assert (state["state"], state["study"]) == ("failed", "none")
    assert re.search(reason, state["message"]), state["message"]
    assert "/tmp" not in state["message"]
    for part in ("rated", "study"):
        check(send(server, request(path=f"{address}/{part}", method="GET", kind=None)), 409)


def test_json_lines_that_all_name_other_columns(server):
    lines = [json.dumps({f"k{number}": number, "text": "好"}) for number in range(30_000)]
    state, _address = upload(server, "t.jsonl", "\n".join(lines).encode())
    assert state["state"] == "failed"
    assert "columns" in state["message"]


ODD_TABLES = {
    "UTF-16": (f"text\n{GOOD}\n".encode("utf-16"), 1),
    "GB18030": (f"评论\n{GOOD}{SECRET}\n".encode("gb18030"), 1),
    "a cell of 10 MB": (b"text\n" + b"a" * (10 << 20) + b"\n", 1),
    "NULs in cells": (f"text\na\0b\n{GOOD}\n".encode(), 2),
    "half a surrogate pair": (b"text\n\xed\xa0\x80\n" + GOOD.encode() + b"\n", 2),
    "50,000 empty rows": (b"text,a\n" + b",1\n" * 50_000, 50_000),
    "cells too many": (f"text\n{GOOD},,,,,\n{GOOD}\n".encode(), 2),
}


@pytest.mark.parametrize("name", ODD_TABLES)
def test_an_odd_table_is_rated_row_by_row(server, name):
    content, rows = ODD_TABLES[name]
    state, _address = upload(server, "t.csv", content)
    assert (state["state"], state["rows"]) == ("done", rows), state["message"]


def test_a_table_of_formulas_and_markup_is_defused_and_escaped(server):
    film = "<script>alert(1)</script>=cmd|' /C calc'!A0"
    rows = [f'"{film}","=1+1{GOOD}第{number}遍<img src=x onerror=alert(2)>"' for number in range(5)]
    content = "\n".join(["电影,评论", *rows, '"@SUM(1)",', "-1+1,a"]).encode() + b"\n"
    state, address = upload(server, "..%2f%3Cb%3E.csv", content, study=True)
    assert (state["state"], state["study"], state["film"]) == ("done", "done", film)
    rated = send(server, request(path=f"{address}/rated", method="GET", kind=None)).body.decode("utf-8-sig")
    assert "'=1+1" in rated
    assert "'@SUM(1)" in rated
    assert "'-1+1" in rated
    study = send(server, request(path=f"{address}/study", method="GET", kind=None))
    policy = study.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    page = study.body.decode()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_case_study_of_odd_reviews_is_made_or_refused(server):
    for content in (b"text\n" + b"a" * (10 << 20) + b"\n", "text\n！！！\n".encode(), b"text\n\n\n", b"text\n,\n"):
        state, _address = upload(server, "t.csv", content, study=True)
        assert state["state"] in ("done", "failed")
        assert state["study_message"] != "the server failed on this table"


def test_a_table_over_the_limit_is_refused(server):
    assert upload(server, "t.csv", b"text\n" + b"a" * (17 << 20)).status == 413


def test_names_that_are_too_long_or_not_there_and_tables_of_nothing_are_refused(server):
    assert upload(server, "a" * 300 + ".csv", b"text\na\n").status == 422
    assert upload(server, "t.csv", b"").status == 422
    check(send(server, request(b"text\na\n", path="/v1/tables", kind="text/csv")), 422)
    check(send(server, request(b"text\na\n", path="/v1/tables?name=t.csv&language=%00", kind="text/csv")), 422)


def test_a_table_that_breaks_off_is_not_taken(server):
    before = len(server.events())
    sent = request(b"text\na\n", path="/v1/tables?name=t.csv", kind="text/csv", length=1000)
    assert send(server, sent, half_close=True) is None
    for _ in range(100):
        seen = [event for event in server.events()[before:] if event.get("path") == "/v1/tables"]
        if seen:
            break
        time.sleep(0.05)
    assert [event["status"] for event in seen] == [499]


def test_afterwards_the_log_is_clean_and_all_that_was_accepted_was_answered(server):
    memory = psutil.Process(server.process.pid).memory_info().rss
    for _ in range(30):
        check(send(server, request(b'{"texts": ["' + 3 * MEGABYTE + b'"]}')), 422)
    assert psutil.Process(server.process.pid).memory_info().rss < memory + (100 << 20)
    events = server.events()
    assert [event for event in events if event["event"] in ("failure", "table_failed", "model_failed")] == []
    assert [event for event in events if event["event"] == "log" and event["level"] != "WARNING"] == []
    assert not any(event.get("status", 0) >= 500 for event in events)
    log = "".join(server.lines)
    assert json.dumps(SECRET)[1:-1] not in log
    assert SECRET not in log
    is_well(server)


def test_at_the_end_it_stops_well(trained_run):
    command = [sys.executable, "-m", "xingping", "serve", str(trained_run), "--port", "0", "--request-seconds", "3"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        server = Server(process)
        with contextlib.ExitStack() as stack:
            for sent in (b"", b"GET / HT", request(b"{", length=100), b"nonsense\r\n\r\n"):
                sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=WAIT))
                sock.sendall(sent)
            time.sleep(0.3)
            assert server.stop() == 0
        (closed,) = [event for event in server.events() if event["event"] == "closed"]
        assert closed["accepted"] == closed["answered"] + closed["left"]
