"""spark-submit.sh: what it prints, what it refuses, and one job that it really runs."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import settings as settings_module
from pipelines.errors import SettingsError
from pipelines.session import spark_conf
from pipelines.stack import submit

ROOT = Path(__file__).resolve().parent.parent.parent
JOBS = sorted(p.stem for p in (ROOT / "jobs").glob("*.py") if p.name != "__init__.py")

# A job like those of jobs/: it says what it got, and ends with the code that it was told.
TELL = '''
"""Tell what this process was started with."""

import json

from pipelines.launch import batch_job


def run(settings, spark, args):
    conf = spark.sparkContext.getConf()
    keys = ("app.name", "sql.shuffle.partitions", "driver.memory", "x")
    told = {key: conf.get(f"spark.{key}") for key in keys}
    told["masters"] = [conf.get("spark.master"), settings.spark.master]
    spark.range(4).write.format("delta").save(args.table)
    print("TOLD " + json.dumps(told), flush=True)
    return args.code


def arguments(parser):
    parser.add_argument("--table", required=True)
    parser.add_argument("--code", type=int, required=True)


if __name__ == "__main__":
    raise SystemExit(batch_job("tell", __doc__, run, arguments))
'''


def call(*words, **environ):
    """Run spark-submit.sh and return what came of it."""
    command = [str(ROOT / "spark-submit.sh"), *words]
    env = {name: value for name, value in os.environ.items() if not name.startswith("LAKEPULSE_")} | environ
    return subprocess.run(command, env=env, cwd="/", capture_output=True, text=True, check=False, timeout=240)


def dry_run(*words, **environ):
    """The command that would be run, word by word, without the variables before it."""
    done = call("--dry-run", *words, **environ)
    assert done.returncode == 0, done.stderr
    printed = shlex.split(done.stdout.replace("\\\n", " "))
    start = next(i for i, word in enumerate(printed) if word.endswith("/bin/spark-submit"))
    return printed[start:]


def value(command, option):
    return command[command.index(option) + 1]


def conf(command):
    given = [command[i + 1].partition("=") for i, word in enumerate(command) if word == "--conf"]
    return {key: text for key, _, text in given}


def test_list_names_every_job_with_what_it_does():
    lines = call("--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == JOBS
    assert all(len(line.split()) > 3 for line in lines)


def test_an_unknown_job_is_answered_with_the_nearest_names():
    done = call("land_bronz")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no job 'land_bronz'; did you mean 'land_bronze'" in done.stderr
    assert "--list" in done.stderr


def test_help_of_a_job_is_the_jobs_own():
    assert "--once" in call("land_bronze", "--help").stdout
    assert "--profile {local,standalone,yarn,k8s}" in call("--help").stdout


def test_a_local_job_gets_the_settings_of_the_session_and_nothing_of_a_cluster():
    command = dry_run("land_bronze", "--once", "--domain", "my shop.yml")
    script = command.index(str(ROOT / "jobs" / "land_bronze.py"))
    assert command[script + 1 :] == ["--once", "--domain", "my shop.yml"]
    expected = spark_conf(settings_module.load(environ={}), "land_bronze")
    flags = {key: value(command, flag) for key, flag in submit.FLAGS.items() if key in expected}
    assert conf(command) | flags == expected
    assert value(command, "--master") == "local[2]"
    assert "delta-spark" in value(command, "--driver-class-path")
    assert not {"--jars", "--py-files", "--archives"} & set(command)


@pytest.mark.parametrize(
    "words", [("--master", "local[3]", "land_bronze"), ("land_bronze", "--master", "local[3]")]
)
def test_own_options_stand_before_or_after_the_job(words):
    assert value(dry_run(*words), "--master") == "local[3]"


def test_flags_behind_two_dashes_come_last_so_that_they_win():
    command = dry_run("land_bronze", "--once", "--", "--conf", "spark.sql.shuffle.partitions=9", "--verbose")
    assert conf(command)["spark.sql.shuffle.partitions"] == "9"
    script = command.index(str(ROOT / "jobs" / "land_bronze.py"))
    assert command[script - 1] == "--verbose"
    assert command[script + 1 :] == ["--once"]


def test_a_cluster_gets_jars_the_packages_and_the_clusters_settings():
    command = dry_run("land_bronze", "--once", "--profile", "standalone", "--master", "spark://host:7077")
    jars = value(command, "--jars").split(",")
    assert all(Path(jar).is_file() for jar in jars)
    assert command[-3:] == ["--profile", "cluster", "--once"]
    assert "--driver-class-path" not in command
    assert conf(command)["spark.sql.shuffle.partitions"] == "64"


def test_yarn_and_kubernetes_take_the_executors_python_from_the_settings():
    packed = {"LAKEPULSE__SPARK__ENVIRONMENT_ARCHIVE": "hdfs:///env.tar.gz"}
    yarn = dry_run("land_bronze", "--profile", "yarn", **packed)
    assert value(yarn, "--master") == "yarn"
    assert value(yarn, "--archives") == "hdfs:///env.tar.gz#environment"
    assert conf(yarn)["spark.pyspark.python"] == "./environment/bin/python"
    image = {"LAKEPULSE__SPARK__CONTAINER_IMAGE": "shop/lakepulse:1", "LAKEPULSE__SPARK__NAMESPACE": "shop"}
    k8s = dry_run("land_bronze", "--profile", "k8s", "--master", "k8s://https://host:6443", **image)
    assert conf(k8s)["spark.kubernetes.container.image"] == "shop/lakepulse:1"
    assert conf(k8s)["spark.kubernetes.namespace"] == "shop"


@pytest.mark.parametrize(
    ("profile", "prefix"), [("standalone", "spark://"), ("k8s", "k8s://"), ("local", "local")]
)
def test_a_profile_without_its_kind_of_master_is_refused(profile, prefix):
    done = call("land_bronze", "--profile", profile, "--master", "mesos://host", "--dry-run")
    assert done.returncode == 1
    assert f"needs a master that starts with {prefix}, not 'mesos://host'" in done.stderr


def test_the_archive_for_executors_holds_packages_that_import(tmp_path):
    archive = tmp_path / "run" / "packages.zip"
    submit.pack(archive)
    code = "import pipelines.errors, jobs; print(pipelines.errors.__file__)"
    # -S: without the installed project, so that only the archive can serve the import.
    env = {"PYTHONPATH": str(archive)}
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.strip() == f"{archive}/pipelines/errors.py", done.stderr
    assert [f.name for f in archive.parent.iterdir()] == ["packages.zip"]


def test_the_archives_name_changes_with_what_is_in_it(tmp_path, monkeypatch):
    call_of = submit.Call("land_bronze", "yarn", "", True, (), ())
    before = submit.plan(call_of).command
    shutil.copytree(ROOT / "jobs", tmp_path / "jobs")
    (tmp_path / "jobs" / "another.py").write_text("")
    monkeypatch.setattr(submit, "CODE", tmp_path)
    assert value(submit.plan(call_of).command, "--py-files") != value(before, "--py-files")


def test_a_master_of_another_kind_in_the_settings_is_an_error_that_names_the_setting(monkeypatch):
    monkeypatch.setenv("LAKEPULSE__SPARK__MASTER", "spark://host:7077")
    with pytest.raises(SettingsError, match="LAKEPULSE__SPARK__MASTER"):
        submit.plan(submit.Call("land_bronze", "local", "", True, (), ()))


def test_a_job_runs_with_what_it_was_given_and_its_exit_code_comes_back(tmp_path):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "tell.py").write_text(TELL.lstrip())
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    (tmp_path / ".cache").symlink_to(ROOT / ".cache")
    here = {"LAKEPULSE_HOME": str(tmp_path), "LAKEPULSE__SPARK__DRIVER_MEMORY": "512m"}
    here["JDK_JAVA_OPTIONS"] = "-XX:TieredStopAtLevel=1"  # a short job is over before better code pays
    words = ["tell", "--table", f"{tmp_path}/t", "--code", "99", "--master", "local[1]"]
    done = call(*words, "--", "--conf", "spark.x=y", "--conf", "spark.sql.shuffle.partitions=3", **here)
    assert done.returncode == 99, done.stderr
    assert list((tmp_path / "t" / "_delta_log").glob("*0.json"))
    told = json.loads(re.search("TOLD (.*)", done.stdout).group(1))
    assert told == {
        "app.name": "tell",
        "sql.shuffle.partitions": "3",
        "driver.memory": "512m",
        "x": "y",
        "masters": ["local[1]", "local[1]"],
    }
