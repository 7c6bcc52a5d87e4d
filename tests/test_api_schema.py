"""What the OpenAPI schema says is what the server does: schemathesis asks it what it allows, and what it forbids."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

pytest.importorskip("fastapi")
pytest.importorskip("schemathesis", reason="schemathesis is absent: pip install 'xingping[dev]'")

import schemathesis
from fastapi.testclient import TestClient
from pydantic import TypeAdapter
from schemathesis.specs.openapi.checks import negative_data_rejection

from served import served
from xingping.config import ServeSettings
from xingping.serve import create_app, schemas

EXAMPLES = 5
"""For each operation, beside those that the schema's limits call for."""


LIMITS = {"max_texts": 3, "max_characters": 40}
"""So small that what is just allowed, and what is just not, is sent quickly."""

schema = schemathesis.openapi.from_dict(create_app(Path("nowhere"), ServeSettings(**LIMITS)).openapi())


@pytest.fixture(scope="module")
def address(trained_run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xingping.serve.jobs.MOST_WAITING", 10_000)  # that it turns tables away is tested elsewhere
        with served(trained_run, **LIMITS) as address:
            yield address


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_server_keeps_to_its_schema(address, case):
    # A table is whatever bytes are sent: whether it can be read is found out while it is rated.
    excluded = [negative_data_rejection] if case.operation.path == "/v1/tables" else []
    # Raises where a check fails: no answer of 5xx, and none that the schema does not allow.
    case.call_and_validate(base_url=address, excluded_checks=excluded)


@pytest.fixture(scope="module")
def document():
    return create_app(Path("nowhere")).openapi()


def test_every_operation_declares_its_errors_and_shows_an_example(document):
    for path, operations in document["paths"].items():
        for name, operation in operations.items():
            assert operation["summary"], (name, path)
            assert {"422", "503"} <= set(operation["responses"]), (name, path)
            if path.startswith("/v1/"):
                assert {"401", "429"} <= set(operation["responses"]) or path.endswith(("/rated", "/study")), path
    for name, body in document["components"]["schemas"].items():
        if name in ("RatingList", "Explanations", "Similar", "Model", "TableState", "ProblemBody"):
            for example in body["examples"]:
                TypeAdapter(getattr(schemas, name)).validate_python(example)
        if name in ("Texts", "SimilarTo"):
            assert body["properties"]["texts"]["examples"]


def test_keys_are_declared_where_they_are_needed(document, tmp_path):
    assert "securitySchemes" not in document["components"]
    (tmp_path / "keys").write_text("key\n", encoding="utf-8")
    guarded = create_app(Path("nowhere"), ServeSettings(api_keys=tmp_path / "keys")).openapi()
    assert len(guarded["components"]["securitySchemes"]) == 2
    assert len(guarded["paths"]["/v1/predict"]["post"]["security"]) == 2
    assert "security" not in guarded["paths"]["/v1/tables/{table}/rated"]["get"]


def test_the_example_of_a_table_can_be_sent(trained_run, document):
    example = document["paths"]["/v1/tables"]["post"]["requestBody"]["content"]["text/csv"]["schema"]["example"]
    with TestClient(create_app(trained_run)) as client:
        while client.get("/readyz").status_code != 200:
            pass
        assert client.post("/v1/tables", params={"name": "a.csv"}, content=example.encode()).status_code == 202
