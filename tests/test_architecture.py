"""House rules that a machine can keep: who may import whom, where schemas, clocks and readers stand, how long
things get."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = (
    "bronze",
    "silver",
    "gold",
    "features",
    "models",
    "anomalies",
    "monitoring",
    "serving",
    "io",
    "stack",
    "simulate",
    "cli",
)
MODULES = sorted((ROOT / "pipelines").rglob("*.py"))
JOBS = sorted(p for p in (ROOT / "jobs").glob("*.py") if p.name != "__init__.py")
DAGS = sorted((ROOT / "dags").glob("*.py"))

# A room may import the ones before it; these edges run against the order of the list, and say why.
ALLOWED_AGAINST_THE_ORDER: dict[tuple[str, str], str] = {}
CLOCKS = {
    "now",
    "utcnow",
    "today",
    "time",
    "time_ns",
    "monotonic",
    "current_timestamp",
    "current_date",
    "now_ms",
}
CLOCK_EDGES = {"clock.py", "io", "stack", "cli", "serving", "launch.py", "simulate"}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "pipelines").parts
    return parts[0] if len(parts) > 1 else parts[-1]


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def calls(path: Path) -> list[tuple[int, str, str]]:
    """(line, object, method) of each attribute call."""
    return [
        (node.lineno, ast.unparse(node.func.value), node.func.attr)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_a_room_imports_only_earlier_rooms(path):
    room = room_of(path)
    for imported in imports(path):
        parts = imported.split(".")
        if parts[0] in ("jobs", "dags") and room not in ("stack", "cli"):
            pytest.fail(f"{name(path)} imports {imported}: only jobs wire jobs")
        if parts[0] != "pipelines" or len(parts) < 2 or parts[1] not in ROOMS or parts[1] == room:
            continue
        assert room in ROOMS, (
            f"{name(path)} imports the room {parts[1]}: the modules beside the rooms stand before them"
        )
        in_order = ROOMS.index(parts[1]) < ROOMS.index(room)
        assert in_order or (room, parts[1]) in ALLOWED_AGAINST_THE_ORDER, (
            f"{name(path)} imports the later room {parts[1]}"
        )


def test_only_the_registry_imports_mlflow():
    # pyfunc.py is what MLflow runs of a model; study_runs.py writes runs, the registry keeps models.
    allowed = {f"pipelines/models/{module}.py" for module in ("registry", "pyfunc", "study_runs")}
    users = {name(p) for p in [*MODULES, *JOBS] if any(i.split(".")[0] == "mlflow" for i in imports(p))}
    assert users <= allowed


def test_the_kernel_knows_no_spark():
    for module in ("kernel.py", "definitions.py", "declarations.py"):
        found = {
            i
            for i in imports(ROOT / "pipelines" / "features" / module)
            if i.split(".")[0] in ("pyspark", "delta", "mlflow")
        }
        assert not found, f"features/{module} imports {found}"


def test_dags_import_airflow_only():
    for path in DAGS:
        foreign = {
            i
            for i in imports(path)
            if i.split(".")[0] in ("pipelines", "jobs", "pyspark", "mlflow", "pandas")
        }
        assert not foreign, f"{name(path)} imports {foreign}: a DAG names jobs, it does not import them"


def test_schemas_stand_in_contracts_only():
    for path in [*MODULES, *JOBS]:
        if path in JOBS or room_of(path) != "contracts":
            assert "StructType" not in path.read_text(), (
                f"{name(path)} builds a schema: it belongs into pipelines/contracts"
            )


def test_rooms_open_nothing():
    """Readers, writers, files and sockets are opened in io, stack, session, cli, settings and domain only."""
    openers = {
        "io",
        "stack",
        "cli",
        "session.py",
        "settings.py",
        "domain.py",
        "domain_file.py",
        "launch.py",
        "ready.py",
    }
    files = {
        "models",
        "simulate",
        "monitoring",
    }  # a model's package, a simulated file and an audit's pages are files
    for path in MODULES:
        room = room_of(path)
        if room in openers:
            continue
        for line, target, method in calls(path):
            spark = re.search(r"\b(read|readStream|write|writeStream)$", target)
            assert not spark, f"{name(path)}:{line} reads or writes with Spark"
            if room not in files:
                assert method not in ("read_text", "write_text", "read_bytes", "write_bytes"), (
                    f"{name(path)}:{line} touches a file"
                )


def test_time_is_an_argument():
    for path in MODULES:
        if room_of(path) in CLOCK_EDGES:
            continue
        for line, target, method in calls(path):
            is_clock = method in CLOCKS and target.split(".")[-1] in (
                "datetime",
                "date",
                "time",
                "F",
                "functions",
                "clock",
                "Timestamp",
            )
            assert not is_clock, f"{name(path)}:{line} reads a clock ({target}.{method})"


def test_randomness_is_seeded():
    for path in MODULES:
        for line, target, method in calls(path):
            unseeded = target in ("random", "np.random", "numpy.random") and method not in (
                "default_rng",
                "Generator",
                "SeedSequence",
                "PCG64",
                "Philox",
                "Random",
                "SystemRandom",
            )
            assert not unseeded, f"{name(path)}:{line} draws from a global generator"


def test_nothing_is_named_after_one_shop():
    for path in [*MODULES, *JOBS, *DAGS]:
        assert "ranklens" not in path.read_text().lower(), f"{name(path)} knows one particular shop"


def test_no_error_is_swallowed():
    for path in [*MODULES, *JOBS]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ExceptHandler):
                caught = ast.unparse(node.type) if node.type else "everything"
                broad = caught in ("everything", "Exception", "BaseException")
                raises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
                assert not broad or raises, f"{name(path)}:{node.lineno} catches {caught} and goes on"


@pytest.mark.parametrize(
    ("paths", "most"), [(MODULES, 300), (JOBS, 40), (DAGS, 60)], ids=["modules", "jobs", "dags"]
)
def test_files_stay_short(paths, most):
    long = {name(p): n for p in paths if (n := len(p.read_text().splitlines())) > most}
    assert not long, f"longer than {most} lines: {long}"


def test_functions_stay_short():
    long = {}
    for path in [*MODULES, *JOBS]:
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.FunctionDef)
                and node.end_lineno - node.lineno >= 70
                and "njit" not in ast.unparse(node)
            ):
                long[f"{name(path)}:{node.name}"] = node.end_lineno - node.lineno + 1
    assert not long, f"longer than 70 lines: {long}"


def test_each_job_is_documented_and_starts_through_launch():
    for path in JOBS:
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), f"{name(path)} has no docstring: it is the job's --help"
        assert "pipelines.launch" in imports(path), f"{name(path)} does not start through pipelines.launch"


def test_the_changelog_names_this_version():
    import pipelines

    assert f"## {pipelines.__version__}" in (ROOT / "CHANGELOG.md").read_text()
