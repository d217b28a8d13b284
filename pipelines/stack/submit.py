"""Run a job of LakePulse with spark-submit.

  ./spark-submit.sh land_bronze --once                        on this machine
  ./spark-submit.sh train_ranker --domain ../my/shop.yml --dry-run
  ./spark-submit.sh publish_gold --profile yarn -- --queue streams --num-executors 4

Options of spark-submit.sh may stand before or after the job's name. What follows `--` goes to spark-submit
as it is and wins over the settings. Everything else goes to the job: see `./spark-submit.sh JOB --help`.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import hashlib
import importlib.util
import os
import shlex
import signal
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import settings as settings_module
from pipelines.errors import LakePulseError, PrerequisiteError, SettingsError, nearest
from pipelines.settings import Settings, project_root

CODE = Path(__file__).resolve().parent.parent.parent
# Profile of spark-submit.sh → settings file of conf/, and how its master starts.
PROFILES = {
    "local": ("local", "local"),
    "standalone": ("cluster", "spark://"),
    "yarn": ("cluster", "yarn"),
    "k8s": ("cluster", "k8s://"),
}
# Settings that spark-submit knows by a flag of their own.
FLAGS = {
    "spark.app.name": "--name",
    "spark.driver.memory": "--driver-memory",
    "spark.driver.extraClassPath": "--driver-class-path",
    "spark.archives": "--archives",
}


@dataclass(frozen=True)
class Call:
    """What the command line asks for."""

    job: str
    profile: str
    master: str
    dry_run: bool
    job_arguments: tuple[str, ...]
    spark_flags: tuple[str, ...]


@dataclass(frozen=True)
class Submission:
    """A call of spark-submit: its command, and the variables that it needs beside the present ones."""

    command: tuple[str, ...]
    variables: dict[str, str]

    def __str__(self) -> str:
        """The call as a shell takes it, one option a line."""
        lines = [f"{name}={shlex.quote(value)}" for name, value in self.variables.items()]
        words = list(self.command)
        lines.append(shlex.quote(words.pop(0)))
        while words:
            option = words[0].startswith("--") and len(words) > 1 and not words[1].startswith("--")
            lines.append(shlex.join([words.pop(0) for _ in range(2 if option else 1)]))
        return " \\\n  ".join(lines)


def jobs(root: Path) -> dict[str, str]:
    """What each job does, on one line, by the job's name."""
    files = sorted(f for f in (root / "jobs").glob("*.py") if f.name != "__init__.py")
    described = {f.stem: ast.get_docstring(ast.parse(f.read_text(encoding="utf-8"))) or "" for f in files}
    return {name: " ".join(text.partition("\n\n")[0].split()) for name, text in described.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """Become spark-submit, or print what was asked for.

    Exit code 1 for wrong settings, 2 for a wrong call.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        known = jobs(project_root())
        if words == ["--list"]:
            width = max(map(len, known))
            print("\n".join(f"{name:<{width}}  {title}" for name, title in known.items()))
            return 0
        call = parse(words)
        if call.job not in known:
            hint = nearest(call.job, list(known))
            print(f"spark-submit.sh: no job {call.job!r}{hint}; --list shows all", file=sys.stderr)
            return 2
        if {"-h", "--help"} & set(call.job_arguments):
            script = str(project_root() / "jobs" / f"{call.job}.py")
            os.execv(sys.executable, [sys.executable, script, "--help"])
        submission = plan(call)
    except LakePulseError as problem:
        print(f"spark-submit.sh: {problem}", file=sys.stderr)
        return 1
    if call.dry_run:
        print(submission)
        return 0
    if "--py-files" in submission.command:
        pack(Path(submission.command[submission.command.index("--py-files") + 1]))
    # Ctrl-C is for the job: it stops its streams, then Spark. A JVM that ends at once would break that.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.execvpe(submission.command[0], submission.command, os.environ | submission.variables)


def parse(words: Sequence[str]) -> Call:
    """Tell the words of a command line apart; ends the process with a usage message when it names no job."""
    words = list(words)
    split = words.index("--") if "--" in words else len(words)
    ours, spark_flags = words[:split], words[split + 1 :]
    if usual := os.environ.get("LAKEPULSE_PROFILE"):
        ours = ["--profile", usual, *ours]
    parser = _options(
        prog="spark-submit.sh",
        usage="%(prog)s [options] JOB [job arguments] [-- spark-submit flags]\n       %(prog)s --list",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--list", action="store_true", help="the jobs and what they do")
    parser.add_argument("job", metavar="JOB", help="name of a file in jobs/, without .py")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    before = parser.parse_args(ours)
    after, job_arguments = _options(add_help=False).parse_known_args(before.rest, before)
    return Call(
        job=after.job.removesuffix(".py").removeprefix("jobs/"),
        profile=after.profile,
        master=after.master,
        dry_run=after.dry_run,
        job_arguments=tuple(job_arguments),
        spark_flags=tuple(spark_flags),
    )


def plan(call: Call) -> Submission:
    """The call of spark-submit for a job. Raises SettingsError for a profile without its kind of master."""
    file, prefix = PROFILES[call.profile]
    settings = _with_master(settings_module.load(file), call, prefix)
    local = prefix == "local"
    # pyspark is imported here and not above: help and list answer without it.
    from pipelines.session import spark_conf, spark_jars

    conf = spark_conf(settings, call.job)
    executor_python = conf.get("spark.pyspark.python", sys.executable)
    command = [str(spark_home() / "bin" / "spark-submit"), "--master", settings.spark.master]
    command += ["--deploy-mode", "client"]
    for key, flag in FLAGS.items():
        if key in conf:
            command += [flag, conf.pop(key)]
    if not local:
        command += ["--jars", ",".join(str(jar) for jar in spark_jars(settings))]
        command += ["--py-files", str(_package(settings))]
    for key, value in conf.items():
        command += ["--conf", f"{key}={value}"]
    command += [*call.spark_flags, str(settings.root / "jobs" / f"{call.job}.py")]
    command += [*([] if local else ["--profile", file]), *call.job_arguments]
    return Submission(tuple(command), _variables(settings, executor_python))


def pack(archive: Path) -> None:
    """Write the packages `pipelines` and `jobs` into an archive for executors, unless it is there."""
    if archive.is_file():
        return
    archive.parent.mkdir(parents=True, exist_ok=True)
    part = archive.with_suffix(f".{os.getpid()}")
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as file:
        for source in _sources():
            file.write(source, source.relative_to(CODE))
    part.rename(archive)


def spark_home() -> Path:
    """The Spark of this environment. Raises PrerequisiteError without one."""
    found = importlib.util.find_spec("pyspark")
    if not found or not found.origin:
        raise PrerequisiteError(f"no pyspark in {sys.prefix}: run `make setup`")
    return Path(found.origin).parent


def _options(**texts: Any) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(allow_abbrev=False, **texts)
    parser.add_argument(
        "--profile",
        choices=PROFILES,
        default="local",
        help="where it runs: %(choices)s (default: what LAKEPULSE_PROFILE says, otherwise %(default)s)",
    )
    parser.add_argument(
        "--master", default="", metavar="URL", help="Spark's master instead of the one that the settings name"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the command, run nothing")
    return parser


def _with_master(settings: Settings, call: Call, prefix: str) -> Settings:
    master = call.master or settings.spark.master or ("yarn" if prefix == "yarn" else "")
    if not master.startswith(prefix):
        raise SettingsError(
            f"--profile {call.profile} needs a master that starts with {prefix}, not {master!r}: "
            "give --master, or set spark.master (LAKEPULSE__SPARK__MASTER)"
        )
    return dataclasses.replace(settings, spark=dataclasses.replace(settings.spark, master=master))


def _variables(settings: Settings, executor_python: str) -> dict[str, str]:
    variables = {
        "SPARK_HOME": str(spark_home()),
        "PYSPARK_PYTHON": executor_python,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "LAKEPULSE_HOME": str(settings.root),
        "LAKEPULSE__SPARK__MASTER": settings.spark.master,
    }
    return variables | ({"SPARK_LOCAL_IP": "127.0.0.1"} if settings.spark.master.startswith("local") else {})


def _sources() -> list[Path]:
    return sorted(f for package in ("pipelines", "jobs") for f in (CODE / package).rglob("*.py"))


def _package(settings: Settings) -> Path:
    """Where the archive of the packages belongs: its name changes with what is in it."""
    digest = hashlib.sha256()
    for source in _sources():
        digest.update(f"{source.relative_to(CODE)}\0".encode() + source.read_bytes())
    return settings.state / "run" / f"lakepulse-{digest.hexdigest()[:12]}.zip"


if __name__ == "__main__":
    raise SystemExit(main())
