"""The files that deploy a model, as far as they can be checked without an engine: what they copy, start and forbid."""

import importlib
import json
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer.main

from xingping.cli import app
from xingping.errors import SettingsError

yaml = pytest.importorskip("yaml", reason="PyYAML is absent: pip install 'xingping[dev]'")

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def instructions():
    """Return the stages of the Dockerfile, each a list of instructions and their arguments."""
    text = re.sub(r"^\s*#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = [line.strip().partition(" ") for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    stages = []
    for name, _, arguments in found:
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, arguments.strip()))
    return stages


def of(stage, name):
    return [arguments for instruction, arguments in stage if instruction == name]


@pytest.fixture(scope="module")
def service():
    return yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["xingping"]


def parse(arguments):
    """Parse a command line as the program does, without running it, and return the values."""
    group = typer.main.get_command(app)
    command = group.commands[arguments[0]]
    return command.make_context(arguments[0], list(arguments[1:])).params


def test_bases_are_pinned_by_tag_and_are_the_python_of_the_tests():
    bases = [of(stage, "FROM")[0].split()[0] for stage in instructions()]
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", bases[0])
    assert tuple(map(int, bases[0].split(":")[1].split("-")[0].split(".")[:2])) >= (3, 11)


def test_what_is_copied_is_there_and_let_in():
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    let_in = {line[1:] for line in lines if line.startswith("!")}
    stages = instructions()
    copied = {path for arguments in of(stages[0], "COPY") for path in arguments.split()[:-1]}
    assert copied == let_in
    assert all((ROOT / path).exists() for path in copied)
    assert {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "src"} <= copied
    assert all(arguments.startswith("--from=build ") for arguments in of(stages[1], "COPY"))


def test_dependencies_are_installed_before_the_source_is_there():
    steps = [f"{name} {arguments}" for name, arguments in instructions()[0]]
    source = next(index for index, step in enumerate(steps) if step.startswith("COPY src"))
    installs = [index for index, step in enumerate(steps) if "pip install" in step]
    assert [index < source for index in installs] == [True, True, False]
    assert all("--constraint constraints.txt" in steps[index] for index in installs[:-1])
    assert "--no-deps" in steps[installs[-1]]
    assert "/whl/cpu" in " ".join(steps)
    assert "pip install" not in " ".join(" ".join(step) for step in instructions()[1])


def test_the_commands_in_its_build_are_code_that_runs(capsys):
    steps = of(instructions()[0], "RUN")
    encoder = next(step for step in steps if "bundled_folder" in step)
    code = shlex.split(encoder)[2]
    module, name = re.search(r"from (\S+) import (\S+);", code).groups()
    assert callable(getattr(importlib.import_module(module), name))
    requirements = shlex.split(next(step for step in steps if "tomllib" in step))
    here = ROOT / "pyproject.toml"
    exec(requirements[2].replace("'pyproject.toml'", repr(str(here))), {})
    listed = capsys.readouterr().out.splitlines()
    assert listed == [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["serve"]]


def test_it_runs_as_nobody_special_and_asks_whether_it_is_ready():
    last = instructions()[-1]
    assert of(last, "USER") == ["xingping"]
    names = [name for name, _ in last]
    assert names.index("USER") < names.index("CMD")
    user = next(arguments for arguments in of(last, "RUN") if "useradd" in arguments)
    assert int(re.search(r"--uid (\d+)", user)[1]) >= 10_000
    [health] = of(last, "HEALTHCHECK")
    command = json.loads(health[health.index("CMD") + 3 :])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "HEALTHCHECK", "exec")
    assert "http://127.0.0.1:8000/readyz" in command[2]


def test_no_secret_is_in_the_image():
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert not re.search(r"(?i)(password|secret|token|api[_-]?key)\s*[= ]", text)
    assert not re.search(r"(?m)^ADD ", text)


def test_what_the_image_starts_is_a_command_line_that_parses():
    last = instructions()[-1]
    entry, command = (json.loads(of(last, name)[0]) for name in ("ENTRYPOINT", "CMD"))
    assert entry == ["xingping"]
    assert PROJECT["scripts"]["xingping"] == "xingping.cli:main"
    given = parse(command)
    assert (given["run"], given["host"], given["port"]) == (Path("/model"), "0.0.0.0", 8000)
    assert of(last, "EXPOSE") == ["8000"]


def test_compose_starts_it_with_as_little_as_it_needs(service):
    assert parse(service["command"])["run"] == Path("/model")
    assert service["image"] == f"xingping:{PROJECT['version']}"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [port.rsplit(":", 2) for port in service["ports"]] == [["127.0.0.1", "8000", "8000"]]
    mounted = {
        volume.split(":")[-2] if volume.endswith(":ro") else volume.split(":")[-1] for volume in service["volumes"]
    }
    assert mounted == {"/model", "/var/cache/xingping"}
    assert service["volumes"][0].endswith(":/model:ro")
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory", "pids"}
    assert "environment" not in service


def test_compose_gives_it_time_to_answer_what_it_accepted(service):
    from xingping.config import ServeSettings

    assert int(service["stop_grace_period"].removesuffix("s")) > ServeSettings().deadline


def test_the_example_of_ray_serve_names_an_application_and_its_arguments():
    settings = yaml.safe_load((ROOT / "examples" / "serve.yaml").read_text(encoding="utf-8"))
    [described] = settings["applications"]
    assert settings["http_options"]["host"] == "127.0.0.1"
    pytest.importorskip("grpc_reflection", reason="the extra `ray-serve` is not installed")
    application = importlib.import_module("xingping.scale.serving").application
    from ray.serve.schema import ServeDeploySchema

    ServeDeploySchema.model_validate(settings)
    module, _, name = described["import_path"].partition(":")
    assert getattr(importlib.import_module(module), name) is application
    built = application(described["args"])
    assert built._bound_deployment.name == described["deployments"][0]["name"]
    with pytest.raises(SettingsError, match=r"setting limits\.batch: Extra inputs"):
        application({"run": "runs/mine", "limits": {"batch": 1}})
