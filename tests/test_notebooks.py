"""Notebooks hold no outputs and run from top to bottom on the tables of a walk."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_outputs_are_stripped(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs"), f"{path.name}: {cell['id']} has outputs; run nbstripout on it"
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_runs_on_the_tables_of_a_walk(path, walked, monkeypatch):
    monkeypatch.setenv("LAKEPULSE__PATHS__STATE", str(walked.settings.state))
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    shown = [
        o
        for cell in notebook.cells
        for o in cell.get("outputs", [])
        if o["output_type"] in ("execute_result", "display_data")
    ]
    assert len(shown) >= sum(cell.cell_type == "code" for cell in notebook.cells)
