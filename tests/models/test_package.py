"""A package gives the scores it gave where it was made, or is refused with a reason."""

import hashlib
import json
import pickle

import numpy as np
import pytest
import xgboost

from pipelines.errors import ModelError
from pipelines.models import calibration, package, ranker, sealed
from pipelines.models.outlier_kinds import Outliers
from pipelines.models.outliers import OutlierModel
from tests.models.builders import NAMES, some_examples, some_training

EXAMPLES = some_examples(60)
BOOSTER = ranker.train(EXAMPLES, some_examples(30, seed=2), NAMES, some_training(rounds=3)).booster
VECTORS = np.random.default_rng(0).gamma(2.0, 5.0, (200, 3))
MODEL = OutlierModel.fit(VECTORS, names=("a", "b", "c"), seed=1)
SECOND = OutlierModel.fit(VECTORS * 3, names=("a", "b", "c"), seed=2)
CALIBRATED = {"scores": np.arange(3.0)}, {"bound": "marginal"}
OUTLIERS = Outliers({"user/5": MODEL, "device/60": SECOND}, {"device/60": CALIBRATED})
EXAMPLE = {"user/5": VECTORS, "device/60": VECTORS * 3}


@pytest.fixture
def folder(tmp_path):
    package.save_ranker(tmp_path / "ranker", BOOSTER, '{"features":[]}', "0123abcd", EXAMPLES.features)
    return tmp_path / "ranker"


def reseal(folder, name, data):
    """Write a file with a manifest that agrees with it, as someone would who wants it to be loaded."""
    (folder / name).write_bytes(data)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_ranker_scores_as_its_booster(folder):
    loaded = package.load_ranker(folder, "0123abcd")
    assert loaded.names == tuple(NAMES)
    np.testing.assert_array_equal(loaded.score(EXAMPLES.features), BOOSTER.inplace_predict(EXAMPLES.features))


def test_an_outlier_model_survives_its_package(tmp_path):
    package.save_outliers(tmp_path / "o", OUTLIERS, EXAMPLE)
    loaded = package.load_outliers(tmp_path / "o")
    assert list(loaded.models) == ["user/5", "device/60"]
    for kind, model in OUTLIERS.models.items():
        np.testing.assert_array_equal(loaded.models[kind].score(VECTORS * 2), model.score(VECTORS * 2))
        assert loaded.models[kind].explain(VECTORS) == model.explain(VECTORS)
    [(kind, (arrays, about))] = loaded.calibrations.items()
    assert (kind, about, arrays["scores"].tolist()) == ("device/60", CALIBRATED[1], [0.0, 1.0, 2.0])
    assert sealed.kind_of(tmp_path / "o") == "outliers"


def test_the_same_model_gives_the_same_package(folder, tmp_path):
    package.save_ranker(tmp_path / "again", BOOSTER, '{"features":[]}', "0123abcd", EXAMPLES.features)
    assert sealed.fingerprint(tmp_path / "again") == sealed.fingerprint(folder)
    assert sealed.size(folder) == sum(p.stat().st_size for p in folder.iterdir())


def test_no_file_is_a_pickle(folder, tmp_path):
    package.save_outliers(tmp_path / "o", OUTLIERS, EXAMPLE)
    for path in [*folder.iterdir(), *(tmp_path / "o").iterdir()]:
        with pytest.raises(
            (pickle.UnpicklingError, ValueError, EOFError, KeyError, IndexError, AttributeError)
        ):
            pickle.loads(path.read_bytes())


def test_other_definitions_are_refused(folder):
    with pytest.raises(ModelError, match="trained on features 0123abcd, the domain's are ffff: train again"):
        package.load_ranker(folder, "ffff")


@pytest.mark.parametrize("name", ["ranker.ubj", "definitions.json", "example.npz", "manifest.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ModelError, match=name):
        package.load_ranker(folder)


@pytest.mark.parametrize("name", ["ranker.ubj", "definitions.json", "example.npz"])
def test_a_changed_file_is_named(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[len(data) // 2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(ModelError, match=f"{name}.* is not the file its manifest names"):
        package.load_ranker(folder)


def test_a_pickle_beside_the_model_is_refused(folder):
    (folder / "preprocess.pkl").write_bytes(pickle.dumps({}))
    with pytest.raises(ModelError, match=r"preprocess\.pkl is a pickle"):
        package.load_ranker(folder)


def test_a_pickle_under_another_name_is_refused(folder):
    reseal(folder, "ranker.ubj", pickle.dumps(BOOSTER))
    with pytest.raises(ModelError, match=r"ranker\.ubj is a pickle"):
        package.load_ranker(folder)


def test_objects_in_arrays_are_refused(folder):
    with (folder / "objects.npz").open("wb") as file:
        np.savez(file, rows=np.array([print], object), scores=np.zeros(1))
    reseal(folder, "example.npz", (folder / "objects.npz").read_bytes())
    (folder / "objects.npz").unlink()
    with pytest.raises(ModelError, match=r"example\.npz cannot be read without running code"):
        package.load_ranker(folder)


def test_a_file_no_package_has_is_refused(folder):
    (folder / "notes.txt").write_text("hello")
    with pytest.raises(ModelError, match=r"notes\.txt.*which no ranker package has"):
        package.load_ranker(folder)


def test_another_kind_is_refused(folder):
    with pytest.raises(ModelError, match="holds a ranker package of format 1, not a outliers package"):
        package.load_outliers(folder)


def test_a_file_that_is_no_booster_is_refused(folder):
    reseal(folder, "ranker.ubj", b"{not a booster")
    with pytest.raises(ModelError, match="is not a booster"):
        package.load_ranker(folder)


def test_a_manifest_that_is_no_json_is_refused(folder):
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ModelError, match="not JSON"):
        package.load_ranker(folder)


def test_a_booster_of_another_width_is_refused(folder):
    narrow = xgboost.train(
        {"nthread": 1}, xgboost.DMatrix(EXAMPLES.features[:, :4], label=EXAMPLES.labels), 1
    )
    reseal(folder, "ranker.ubj", bytes(narrow.save_raw("ubj")))
    with pytest.raises(ModelError, match="takes 4 features, its manifest names 6"):
        package.load_ranker(folder)


def broken_leaves() -> xgboost.Booster:
    """A booster whose leaves are infinite, as a damaged or overflown training would leave it."""
    content = json.loads(bytes(BOOSTER.save_raw("json")))
    for tree in content["learner"]["gradient_booster"]["model"]["trees"][:2]:
        is_leaf = np.array(tree["left_children"]) < 0
        sign = 1 if tree["id"] == 0 else -1
        tree["split_conditions"] = np.where(is_leaf, sign * 3e38, tree["split_conditions"]).tolist()
    content["learner"]["learner_model_param"]["base_score"] = "[3E38]"
    return xgboost.Booster(model_file=bytearray(json.dumps(content).encode()))


def test_scores_that_are_not_numbers_are_refused(folder, tmp_path):
    with pytest.raises(ModelError, match="16 of 16 rows got a score that is not a number"):
        package.save_ranker(tmp_path / "bad", broken_leaves(), "{}", "0", EXAMPLES.features)
    reseal(folder, "ranker.ubj", bytes(broken_leaves().save_raw("ubj")))
    with pytest.raises(ModelError, match="not a number"):
        package.load_ranker(folder)


def test_a_booster_that_scores_otherwise_is_refused(folder):
    other = ranker.train(EXAMPLES, some_examples(30, seed=2), NAMES, some_training(rounds=3, seed=9)).booster
    reseal(folder, "ranker.ubj", bytes(other.save_raw("ubj")))
    with pytest.raises(ModelError, match="does not score its example rows as it did"):
        package.load_ranker(folder)


def test_rows_of_another_width_are_refused(folder):
    with pytest.raises(ModelError, match="needs 6 features a row"):
        package.load_ranker(folder).score(np.zeros((2, 7), np.float32))


CHANCES = calibration.fit(BOOSTER.inplace_predict(EXAMPLES.features), EXAMPLES.labels > 0)


def test_a_calibrated_ranker_knows_the_chance_of_an_outcome(tmp_path):
    package.save_ranker(tmp_path / "r", BOOSTER, "{}", "0", EXAMPLES.features, calibrator=CHANCES)
    loaded = package.load_ranker(tmp_path / "r")
    scores = loaded.score(EXAMPLES.features)
    np.testing.assert_array_equal(loaded.chance(scores), CHANCES.chance(scores))
    assert loaded.chance(scores).mean() == pytest.approx((EXAMPLES.labels > 0).mean(), abs=0.02)


def test_a_ranker_of_an_older_version_scores_and_says_that_it_knows_no_chances(folder):
    loaded = package.load_ranker(folder)
    assert len(loaded.score(EXAMPLES.features)) == len(EXAMPLES.features)
    with pytest.raises(ModelError, match=r"its package has no calibration.json; train it again"):
        loaded.chance(loaded.score(EXAMPLES.features))


def test_a_calibration_that_is_missing_changed_or_foreign_is_refused(tmp_path):
    kept = tmp_path / "r"
    package.save_ranker(kept, BOOSTER, "{}", "0", EXAMPLES.features, calibrator=CHANCES)
    data = (kept / "calibration.json").read_bytes()
    (kept / "calibration.json").write_bytes(data.replace(b"0.", b"0.1", 1))
    with pytest.raises(ModelError, match="is not the file its manifest names"):
        package.load_ranker(kept)
    (kept / "calibration.json").unlink()
    with pytest.raises(ModelError, match=r"calibration.json is missing from the package"):
        package.load_ranker(kept)
    reseal(kept, "calibration.json", b'{"scores": [2, 1], "chances": [0.1, 0.2]}')
    with pytest.raises(ModelError, match="rise with the scores"):
        package.load_ranker(kept)


def test_outlier_models_of_an_older_version_or_of_different_features_are_refused(tmp_path):
    package.save_outliers(tmp_path / "o", OUTLIERS, EXAMPLE)
    reseal(tmp_path / "o", "outliers.json", b'{"names": ["a", "b", "c"]}')
    with pytest.raises(ModelError, match="name no kinds of vectors"):
        package.load_outliers(tmp_path / "o")
    other = OutlierModel.fit(VECTORS, names=("a", "b", "z"), seed=1)
    package.save_outliers(tmp_path / "o", Outliers({"user/5": MODEL, "device/60": other}), EXAMPLE)
    with pytest.raises(ModelError, match="have different features"):
        package.load_outliers(tmp_path / "o")
