"""The registry, on a real MLflow server: what is registered comes back whole, and aliases move."""

import concurrent.futures
import hashlib
import subprocess

import mlflow
import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest

from pipelines.errors import ModelError, RegistryError
from pipelines.models import package
from pipelines.models.outlier_kinds import Outliers
from pipelines.models.outliers import OutlierModel
from pipelines.models.registry import Registry
from pipelines.models.revision import git_revision
from tests.models.builders import NAMES, a_small_ranker, a_training, some_examples

EXAMPLES, TRAINED = some_examples(60), a_small_ranker()


@pytest.fixture(scope="module")
def registry(mlflow_server):
    return Registry(mlflow_server.uri)


@pytest.fixture(scope="module")
def registered(registry, tmp_path_factory):
    """A ranker with two versions."""
    folder = tmp_path_factory.mktemp("registered") / "ranker"
    assert [registry.register(a_training(folder, "kept-ranker")) for _ in range(2)] == ["1", "2"]
    return "kept-ranker"


def test_a_run_holds_everything_about_the_training(registry, registered):
    latest = registry.latest(registered)
    run = mlflow.get_run(latest.run_id)
    assert run.data.params == {
        "depth": "6",
        "delta_version.gold.training_rows": "3",
        "git_revision": "deadbeef",
    }
    assert registry.figures(latest)["click_rate.ndcg_at_10"] == 0.5
    curve = mlflow.MlflowClient().get_metric_history(latest.run_id, "validation")
    assert [(m.step, m.value) for m in curve] == list(enumerate(TRAINED.curves["validation"], 1))
    assert "share" in mlflow.artifacts.load_text(f"runs:/{latest.run_id}/importances.csv")
    assert latest.tags["definitions_hash"] == "0123abcd"
    assert latest.tags["kind"] == "ranker"


def test_a_version_is_an_mlflow_model_from_code(registered):
    model = mlflow.pyfunc.load_model(f"models:/{registered}/2")
    rows = pd.DataFrame(EXAMPLES.features, columns=NAMES)
    expected = TRAINED.booster.inplace_predict(EXAMPLES.features)
    np.testing.assert_array_equal(model.predict(rows)["score"].to_numpy(np.float32), expected)
    mixed_up = rows.astype(float)[NAMES[::-1]]
    np.testing.assert_array_equal(model.predict(mixed_up)["score"].to_numpy(np.float32), expected)
    assert model.metadata.signature.inputs.input_names() == NAMES
    assert model.input_example is not None


def test_nothing_of_a_version_is_a_pickle(registered, tmp_path):
    folder = mlflow.artifacts.download_artifacts(f"models:/{registered}/2", dst_path=str(tmp_path))
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert len(files) > 10, folder
    assert not [p for p in files if p.suffix in (".pkl", ".pickle") or p.read_bytes()[:1] == b"\x80"]


def test_an_outlier_model_is_an_mlflow_model_too(registry, tmp_path):
    vectors = np.random.default_rng(0).gamma(2.0, 5.0, (200, 3))
    model = OutlierModel.fit(vectors, names=("a", "b", "c"), seed=1)
    package.save_outliers(tmp_path / "o", Outliers({"user/5": model}), {"user/5": vectors})
    example = pd.DataFrame(vectors[:3], columns=["a", "b", "c"])
    version = registry.register(a_training(tmp_path / "o", "kept-outliers", example=example))
    found = mlflow.pyfunc.load_model(f"models:/kept-outliers/{version}").predict(example)
    np.testing.assert_array_equal(found["score"], model.score(vectors[:3]))
    np.testing.assert_array_equal(found["rank"], model.rank(model.score(vectors[:3])))


def test_the_champion_moves_and_comes_back(registry, tmp_path):
    name = "moving-ranker"
    training = a_training(tmp_path / "r", name)
    assert registry.current(name) is None
    for version in ("1", "2"):
        registry.register(training)
        registry.promote(name, version)
    assert registry.current(name) == "2"
    assert {v.version: v.stage for v in registry.versions(name)} == {"1": "retired", "2": "champion"}
    assert registry.version(name, "2").aliases == ("champion",)
    assert registry.rollback(name) == ("2", "1")
    assert registry.current(name) == "1"
    with pytest.raises(ModelError, match="no earlier champion"):
        registry.rollback(name)


def test_a_package_is_downloaded_once(registry, registered, tmp_path):
    folder = registry.fetch(registered, "1", tmp_path)
    assert folder == tmp_path / registered / "1"
    assert package.load_ranker(folder, "0123abcd").names == tuple(NAMES)
    before = folder.stat().st_ino
    assert registry.fetch(registered, "1", tmp_path).stat().st_ino == before
    assert [p.name for p in folder.parent.iterdir()] == ["1"], "nothing half downloaded stays"


def test_several_that_fetch_at_once_all_get_the_whole_package(registry, registered, tmp_path):
    def fetch(_):
        return package.load_ranker(registry.fetch(registered, "2", tmp_path), "0123abcd").names

    with concurrent.futures.ThreadPoolExecutor(6) as several:
        assert list(several.map(fetch, range(12))) == [tuple(NAMES)] * 12


def test_another_package_than_was_registered_is_refused(registry, registered, mlflow_server, tmp_path):
    """Someone who can write the artifacts, but not the registry, exchanges the model."""
    registry.tag(registered, "2", {"package_sha256": hashlib.sha256(b"another").hexdigest()})
    with pytest.raises(ModelError, match="another package than was registered"):
        registry.fetch(registered, "2", tmp_path)
    assert not list((tmp_path / registered).iterdir())


def test_what_is_not_there_is_named(registry, registered):
    with pytest.raises(ModelError, match=r"has no version 9; it has \['2', '1'\]"):
        registry.version(registered, "9")
    with pytest.raises(ModelError, match="no model nobody is registered"):
        registry.latest("nobody")
    assert registry.current(registered, "shadow") is None
    assert registry.versions("nobody") == []


def test_a_server_that_does_not_answer_is_an_error_of_ours(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(RegistryError, match=r"MLflow at http://127\.0\.0\.1:9"):
        Registry("http://127.0.0.1:9").current("shop-ranker")


def test_a_version_among_many_is_fetched_without_asking_for_the_others(
    registry, registered, tmp_path, monkeypatch
):
    def all_of_them(*_):
        pytest.fail("asked for every version")

    monkeypatch.setattr(Registry, "versions", all_of_them)
    assert registry.fetch(registered, "1", tmp_path).name == "1"


def test_a_version_that_is_not_there_is_not_fetched(registry, registered, tmp_path):
    with pytest.raises(ModelError, match=r"has no version 9; it has \['2', '1'\]"):
        registry.fetch(registered, "9", tmp_path)


def test_the_revision_names_changes(tmp_path):
    assert git_revision(tmp_path) == "unknown"

    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True)

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "one")
    assert len(git_revision(tmp_path)) == 40
    (tmp_path / "new").write_text("x")
    assert git_revision(tmp_path).endswith("+changes")
