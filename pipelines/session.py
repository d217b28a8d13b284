"""The Spark session: every setting of it stands here, once, for jobs, tests, notebooks and spark-submit.sh
alike."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from pipelines.errors import PrerequisiteError
from pipelines.settings import Settings

Lender = Callable[[], SparkSession]
"""Where work that may not need Spark gets it: the session is made when it is first asked for."""

STREAMING = "spark.sql.streaming"
CHECKPOINT_FILES = (
    "org.apache.spark.sql.execution.streaming.checkpointing.FileSystemBasedCheckpointFileManager"
)

STATE_STORE = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"


def spark_jars(settings: Settings) -> list[Path]:
    """The jars that Spark needs beside its own. Raises PrerequisiteError when they were not fetched yet."""
    jars = sorted((settings.root / ".cache" / "jars" / "spark").glob("*.jar"))
    if not jars:
        raise PrerequisiteError(f"no jars in {settings.root / '.cache/jars/spark'}: run `make setup`")
    return jars


def spark_conf(settings: Settings, app_name: str) -> dict[str, str]:
    """Spark's settings for an application of this name, without what only a cluster's submit command knows
    (jars, archives)."""
    conf = {
        "spark.app.name": app_name,
        "spark.driver.memory": settings.spark.driver_memory,
        "spark.sql.session.timeZone": "UTC",
        "spark.driver.extraJavaOptions": "-Duser.timezone=UTC -XX:+UseParallelGC",
        "spark.executor.extraJavaOptions": "-Duser.timezone=UTC",
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        # A table's log is small beside its data: 50 tasks to read it cost more than reading it.
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.databricks.delta.schema.autoMerge.enabled": "false",
        # Compaction leaves a file of this size alone: else each run would write the whole table again.
        "spark.databricks.delta.optimize.minFileSize": str(64 << 20),
        "spark.databricks.delta.optimize.maxFileSize": str(256 << 20),
        "spark.sql.shuffle.partitions": str(settings.spark.shuffle_partitions),
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "50000",
        "spark.scheduler.mode": "FAIR",
        # All streams of an installation share this cache of compiled queries: with Spark's 100 entries each
        # micro-batch would compile its queries anew.
        "spark.sql.codegen.cache.maxEntries": "5000",
        # Groups that a hash aggregation of lists holds before it sorts instead; Spark's 128 is a small batch.
        "spark.sql.objectHashAggregate.sortBased.fallbackThreshold": "100000",
        "spark.scheduler.allocation.file": f"file://{settings.root / 'conf' / 'pools.xml'}",
        f"{STREAMING}.stateStore.providerClass": STATE_STORE,
        f"{STREAMING}.stateStore.rocksdb.changelogCheckpointing.enabled": "true",
        f"{STREAMING}.stateStore.rocksdb.trackTotalNumberOfRows": "false",
        f"{STREAMING}.stopTimeout": f"{settings.streams.stop_grace_s}s",
        f"{STREAMING}.metricsEnabled": "false",
        "spark.log.level": settings.spark.log_level,
        "spark.ui.enabled": str(settings.spark.ui).lower(),
        "spark.ui.showConsoleProgress": "false",
    }
    return conf | (
        _on_one_machine(settings) if settings.spark.master.startswith("local") else _on_a_cluster(settings)
    )


def _on_one_machine(settings: Settings) -> dict[str, str]:
    conf = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.extraClassPath": ":".join(str(j) for j in spark_jars(settings)),
        "spark.sql.warehouse.dir": str(settings.state / "warehouse"),
    }
    if settings.spark.local_filesystem:
        # Hadoop's own local file system starts a process for each permission it sets; a checkpoint file then
        # costs 10 times as much.
        conf["spark.hadoop.fs.file.impl"] = "com.globalmentor.apache.hadoop.fs.BareLocalFileSystem"
        conf[f"{STREAMING}.checkpointFileManagerClass"] = CHECKPOINT_FILES
    return conf


def _on_a_cluster(settings: Settings) -> dict[str, str]:
    spark = settings.spark
    conf = {
        "spark.executor.memory": spark.executor_memory,
        "spark.executor.instances": str(spark.executor_instances),
        "spark.pyspark.driver.python": sys.executable,
        "spark.pyspark.python": spark.executor_python or sys.executable,
    }
    if spark.environment_archive:
        conf["spark.archives"] = f"{spark.environment_archive}#environment"
        conf["spark.pyspark.python"] = "./environment/bin/python"
    if spark.master.startswith("k8s://"):
        conf["spark.kubernetes.namespace"] = spark.namespace
        if spark.container_image:
            conf["spark.kubernetes.container.image"] = spark.container_image
    return conf


def _submitted() -> set[str]:
    """Keys that spark-submit has set for this process, which win over ours; none when it starts its own
    JVM."""
    if "PYSPARK_GATEWAY_PORT" not in os.environ:
        return set()
    SparkContext._ensure_initialized()
    return {key for key, _ in SparkConf().getAll()}


def spark_session(settings: Settings, app_name: str) -> SparkSession:
    """The session of this process: a new one, or the one that spark-submit prepared. Raises PrerequisiteError
    without jars."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    if settings.spark.master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder, submitted = SparkSession.builder, _submitted()
    if settings.spark.master and "spark.master" not in submitted:
        builder = builder.master(settings.spark.master)
    for key, value in spark_conf(settings, app_name).items():
        if key not in submitted:
            builder = builder.config(key, value)
    return builder.getOrCreate()


class LazySession:
    """A `Lender` that makes its session once, and stops it if it was ever made."""

    def __init__(self, settings: Settings, app_name: str) -> None:
        self._settings, self._app_name = settings, app_name
        self._made: SparkSession | None = None

    def __call__(self) -> SparkSession:
        """The session. Raises PrerequisiteError without jars."""
        if self._made is None:
            self._made = spark_session(self._settings, self._app_name)
        return self._made

    def stop(self) -> None:
        """Stop the session; nothing to do where nobody asked for it."""
        if self._made is not None:
            self._made.stop()
            self._made = None
