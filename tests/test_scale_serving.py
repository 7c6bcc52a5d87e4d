"""The application on Ray Serve, on a cluster of this machine: the answers are those of the model."""

import importlib
import importlib.util
import json
import socket
import sys
import urllib.error
import urllib.request

import pytest

from toy import BAD, GOOD
from xingping.config import EngineSettings
from xingping.errors import UsageError
from xingping.predictor import RatingPredictor

TEXTS = [f"看过{GOOD}", f"都{BAD}看过"]


def test_a_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch):
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    importlib.import_module("xingping.scale")
    monkeypatch.delitem(sys.modules, "xingping.scale.serving", raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'xingping\[ray-serve\]'"):
        importlib.import_module("xingping.scale.serving")


@pytest.fixture(scope="module")
def address(trained_run, tmp_path_factory):
    """Address of the application on a cluster of this machine."""
    pytest.importorskip("ray", reason="the extra `ray` is not installed")
    pytest.importorskip("grpc_reflection", reason="the extra `ray-serve` is not installed")
    scale = importlib.import_module("xingping.scale")
    serving = importlib.import_module("xingping.scale.serving")
    serve = importlib.import_module("ray.serve")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    scale.connect(EngineSettings(engine="ray", workers=1))
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
    serve.run(serving.application({"run": str(trained_run), "limits": {"max_texts": 3}}), name="xingping")
    yield f"http://127.0.0.1:{port}"
    serve.shutdown()
    scale.disconnect()


def ask(url, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_replicas_answer_as_the_model_does_and_keep_its_limits(address, trained_run):
    assert ask(f"{address}/readyz") == (200, {"status": "ready"})
    status, answer = ask(f"{address}/v1/predict", {"texts": TEXTS})
    expected = RatingPredictor.load(trained_run).predict(TEXTS)
    assert status == 200
    assert [found["rating"] for found in answer["ratings"]] == expected.rating.tolist() == [5, 1]
    assert [found["expected"] for found in answer["ratings"]] == pytest.approx(expected.expected.tolist(), abs=1e-3)
    status, answer = ask(f"{address}/v1/predict", {"texts": TEXTS * 2})
    assert (status, answer["error"]["code"]) == (422, "invalid_request")
    assert ask(f"{address}/v1/model")[1]["task"] == "classification"
