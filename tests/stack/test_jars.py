"""The jar sets, fetched by the real Ivy from a small repository in a folder."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.errors import PrerequisiteError
from pipelines.stack import bootstrap, jars, machine

ROOT = Path(__file__).resolve().parent.parent.parent
PYSPARK = bootstrap.pyspark_folder(ROOT)
REPOSITORY = """<ivysettings>
  <settings defaultResolver="folder"/>
  <caches defaultCacheDir="{home}/cache"/>
  <resolvers><filesystem name="folder">
    <artifact pattern="{home}/repository/[artifact]-[revision].[ext]"/>
  </filesystem></resolvers>
</ivysettings>
"""
MODULE = """<ivy-module version="2.0">
  <info organisation="shop" module="jars"/>
  <configurations defaultconfmapping="*->default"><conf name="spark"/><conf name="kafka"/></configurations>
  <dependencies>
    <dependency org="shop" name="lake" rev="1.0" conf="spark->default"/>
    <dependency org="shop" name="broker" rev="2.0" conf="kafka->default"/>
  </dependencies>
</ivy-module>
"""
CONTENT = {"spark/lake-1.0.jar": b"a lake", "kafka/broker-2.0.jar": b"a broker"}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A project with a jar in each set, and the repository that they come from."""
    (tmp_path / "requirements").mkdir()
    (tmp_path / "repository").mkdir()
    for name, content in CONTENT.items():
        (tmp_path / "repository" / Path(name).name).write_bytes(content)
    (tmp_path / "requirements" / "jars.xml").write_text(MODULE)
    (tmp_path / "ivysettings.xml").write_text(REPOSITORY.format(home=tmp_path))
    monkeypatch.setenv("IVY_SETTINGS", str(tmp_path / "ivysettings.xml"))
    lists(tmp_path, CONTENT)
    return tmp_path


def lists(root, content):
    """Write requirements/jars.sha256 for these files."""
    lines = [f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in content.items()]
    (root / "requirements" / "jars.sha256").write_text("".join(lines))


def fetch(root, java=None):
    said = []
    jars.fetch(root, PYSPARK, java or machine.java_program(os.environ), said.append)
    return said


def present(root):
    folder = jars.jars_folder(root)
    return {f"{f.parent.name}/{f.name}": f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_both_sets_are_fetched_once(root):
    assert fetch(root)
    assert present(root) == CONTENT
    # Nothing is wrong any more, so that not even a Java is needed.
    assert fetch(root, java="/no/java") == []


def test_a_jar_with_another_sha256_is_refused_and_the_present_ones_stay(root):
    fetch(root)
    lists(root, CONTENT | {"spark/lake-1.0.jar": b"another lake"})
    with pytest.raises(PrerequisiteError) as refused:
        fetch(root)
    found = hashlib.sha256(CONTENT["spark/lake-1.0.jar"]).hexdigest()
    assert f"spark/lake-1.0.jar has sha256 {found}" in str(refused.value)
    assert "kafka/broker-2.0.jar" not in str(refused.value)
    assert ".ivy2 and try again" in str(refused.value)
    assert present(root) == CONTENT


def test_a_damaged_missing_or_left_over_jar_is_named_and_put_right(root):
    fetch(root)
    folder = jars.jars_folder(root)
    (folder / "spark" / "lake-1.0.jar").write_bytes(b"half a l")
    (folder / "kafka" / "broker-2.0.jar").rename(folder / "kafka" / "broker-1.9.jar")
    assert {name: fault.split()[0] for name, fault in jars.wrong(root, folder).items()} == {
        "spark/lake-1.0.jar": "has",
        "kafka/broker-2.0.jar": "is",
        "kafka/broker-1.9.jar": "is",
    }
    fetch(root)
    assert present(root) == CONTENT


def test_a_jar_that_is_nowhere_ends_with_ivys_own_words_and_the_remedy(root):
    (root / "repository" / "lake-1.0.jar").unlink()
    with pytest.raises(
        PrerequisiteError, match=r"(?s)shop#lake;1\.0: not found.*needs the network.*IVY_SETTINGS"
    ):
        fetch(root)


def test_the_projects_own_jars_are_the_listed_ones_and_none_is_a_copy_of_sparks():
    assert jars.wrong(ROOT, jars.jars_folder(ROOT)) == {}

    def artifact(name):
        return Path(name).stem.rpartition("-")[0]

    ours = {artifact(name) for name in jars.listed(ROOT) if name.startswith("spark/")}
    assert ours.isdisjoint({artifact(jar.name) for jar in (PYSPARK / "jars").glob("*.jar")})


def test_setup_imports_nothing_that_it_has_yet_to_install(tmp_path):
    shutil.copytree(ROOT / "pipelines" / "stack", tmp_path / "pipelines" / "stack")
    for name in ("__init__.py", "errors.py"):
        shutil.copy(ROOT / "pipelines" / name, tmp_path / "pipelines" / name)
    command = [sys.executable, "-S", "-m", "pipelines.stack.bootstrap", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
