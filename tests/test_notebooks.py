"""Notebooks hold no outputs and run from top to bottom on the tables of a walk."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).resolve().parent.parent / "notebooks").glob("*.ipynb"))
SERVED = [path for path in NOTEBOOKS if "service" in path.stem]  # see test_walk_tutorial


def shown_of(path):
    """Run a notebook from top to bottom: its code cells, and what they show."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    kinds = ("execute_result", "display_data")
    return code, [o for cell in code for o in cell.outputs if o["output_type"] in kinds]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_outputs_are_stripped(path):
    for cell in nbformat.read(path, as_version=4).cells:
        assert not cell.get("outputs"), f"{path.name}: {cell['id']} has outputs; run nbstripout on it"
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", [p for p in NOTEBOOKS if p not in SERVED], ids=lambda p: p.stem)
def test_it_runs_on_the_tables_of_a_walk(path, walked, monkeypatch):
    monkeypatch.setenv("LAKEPULSE__PATHS__STATE", str(walked.settings.state))
    code, shown = shown_of(path)
    assert len(shown) >= len(code)
