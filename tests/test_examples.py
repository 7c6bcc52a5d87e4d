"""The example notebook runs from its first cell to its last, on a run that is there already."""

import json
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "film_study.ipynb"


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


def test_the_notebook_runs_and_draws_its_figures(trained_run, monkeypatch, tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="nbclient, which runs notebooks, is not installed")
    pytest.importorskip("ipykernel", reason="ipykernel, which runs notebooks, is not installed")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("XINGPING_EXAMPLE_RUN", str(trained_run))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    shown = [output for output in outputs if "image/png" in output.get("data", {})]
    drawn = [cell for cell in notebook.cells if cell.cell_type == "code" and "plots." in cell.source]
    assert len(shown) == len(drawn) == 7
    printed = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert printed.count("★") == 3
    warned = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stderr")
    assert "glyph" not in warned.lower()
    assert "font" not in warned.lower()
    assert not (tmp_path / "runs").exists(), "it took the run that was there"
