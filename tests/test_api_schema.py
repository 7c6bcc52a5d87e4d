"""What the OpenAPI schema says is what the server does: schemathesis asks it what it allows, and what it forbids."""

import pytest
from hypothesis import HealthCheck, settings

pytest.importorskip("fastapi")
pytest.importorskip("schemathesis", reason="schemathesis is absent: pip install 'xingping[dev]'")

import schemathesis
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from served import served
from xingping.config import ServeSettings
from xingping.serve import create_app, schemas

EXAMPLES = 5
"""For each operation, beside those that the schema's limits call for."""


@pytest.fixture(scope="module")
def api(trained_run):
    """Serve with small limits: what is just allowed and just not is then sent quickly."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xingping.serve.jobs.MOST_WAITING", 10_000)  # that it turns tables away is tested elsewhere
        with served(trained_run, max_texts=3, max_characters=40) as address:
            yield schemathesis.openapi.from_url(f"{address}/openapi.json")


schema = schemathesis.pytest.from_fixture("api")


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_server_keeps_to_its_schema(case):
    case.call_and_validate()


@pytest.fixture(scope="module")
def document(trained_run):
    return create_app(trained_run, ServeSettings()).openapi()


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


def test_the_example_of_a_table_can_be_sent(trained_run, document):
    example = document["paths"]["/v1/tables"]["post"]["requestBody"]["content"]["text/csv"]["schema"]["example"]
    with TestClient(create_app(trained_run)) as client:
        while client.get("/readyz").status_code != 200:
            pass
        assert client.post("/v1/tables", params={"name": "a.csv"}, content=example.encode()).status_code == 202
