"""Upkeep of the lake's files."""

import argparse
import datetime

import deltalake

from jobs import compact_tables
from pipelines.contracts.ops import STREAM_PROGRESS
from pipelines.io import delta

MOMENT = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def files(settings):
    return len(deltalake.DeltaTable(delta.path(settings, STREAM_PROGRESS)).file_uris())


def stored(spark, settings):
    return sorted(row["batch_id"] for row in delta.read(spark, settings, STREAM_PROGRESS).collect())


def test_small_files_become_one_and_no_row_changes(spark, settings, capsys):
    for number in range(3):
        row = ("land_bronze", number, MOMENT, {"consumed": number})
        rows = spark.createDataFrame([row], STREAM_PROGRESS.schema).coalesce(1)
        delta.append(rows, STREAM_PROGRESS, settings)
    assert files(settings) == 3

    compact_tables.run(settings, spark, argparse.Namespace())

    assert files(settings) == 1
    assert stored(spark, settings) == [0, 1, 2]
    assert capsys.readouterr().out.split() == ["ops.stream_progress", "3", "files", "became", "1"]


def test_a_file_of_some_size_is_not_written_again(spark, settings):
    usual = spark.conf.get("spark.databricks.delta.optimize.minFileSize")
    delta.append(
        spark.createDataFrame([("q", 1, MOMENT, {})], STREAM_PROGRESS.schema), STREAM_PROGRESS, settings
    )
    delta.append(
        spark.createDataFrame([("q", 2, MOMENT, {})], STREAM_PROGRESS.schema), STREAM_PROGRESS, settings
    )
    before = files(settings)
    spark.conf.set("spark.databricks.delta.optimize.minFileSize", "100")
    try:
        compact_tables.run(settings, spark, argparse.Namespace())
    finally:
        spark.conf.set("spark.databricks.delta.optimize.minFileSize", usual)
    assert files(settings) == before
    assert int(usual) == 64 << 20
