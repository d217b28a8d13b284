"""The same ranker, trained by Spark tasks together: for training tables beyond one machine."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.window import Window
from xgboost.spark import SparkXGBRanker

from pipelines.errors import TrainingError
from pipelines.models.ranker import METRIC, Trained, best, parameters
from pipelines.sections import Training


def task_slots(spark: SparkSession) -> int:
    """Tasks that the application can run at the same time now."""
    scala = spark.sparkContext._jsc.sc()
    return int(scala.maxNumConcurrentTasks(scala.resourceProfileManager().resourceProfileFromId(0)))


def train(rows: DataFrame, names: list[str], training: Training) -> Trained:
    """A ranker of gold.training_rows with one column more: `is_validation`, true for decisions that stop the
    boosting.

    Every decision's rows stay in one task. Raises TrainingError when fewer tasks can run than
    `training.num_workers` (the fit would wait for ever), when a task would have nothing to learn from, or
    when a decision lies on both sides.
    """
    slots = task_slots(rows.sparkSession)
    if training.num_workers > slots:
        raise TrainingError(
            f"training.num_workers is {training.num_workers}, but Spark can run {slots} tasks at a time: "
            "lower the setting, or give the application more cores"
        )
    placed = placed_in_tasks(rows, training.num_workers).persist()
    try:
        check_placement(placed, training.num_workers)
        model = _estimator(training).fit(placed)
    finally:
        placed.unpersist()
    history = model.training_summary
    curves = {"train": history.train_objective_history, "validation": history.validation_objective_history}
    return Trained(best(model.get_booster(), names), {part: list(by[METRIC]) for part, by in curves.items()})


def placed_in_tasks(rows: DataFrame, workers: int) -> DataFrame:
    """`rows` in `workers` partitions as decision_id, decision (a number), features, label, is_validation.

    Every decision is whole, its items in order of position; training and validation decisions are dealt
    evenly.
    """
    in_time = Window.partitionBy("is_validation").orderBy("decided_at", "decision_id")
    dealt = (
        rows.groupBy("decision_id", "is_validation")
        .agg(F.min("decided_at").alias("decided_at"))
        .withColumn("turn", F.row_number().over(in_time))
        .select("decision_id", "is_validation", "turn")
    )
    joined = rows.join(dealt, on=["decision_id", "is_validation"], how="inner")
    placed = joined.repartitionById(workers, F.col("turn"))
    number = F.col("turn") * 2 + F.col("is_validation").cast("int")
    return (
        placed.withColumn("decision", number)
        .sortWithinPartitions("decision", "position")
        .select("decision_id", "decision", "features", "label", "is_validation")
    )


def check_placement(placed: DataFrame, workers: int) -> None:
    """Raise TrainingError for a decision in two tasks or on two sides, and for a task without a useful
    decision."""
    decisions = (
        placed.withColumn("task", F.spark_partition_id())
        .groupBy("decision_id")
        .agg(
            F.count_distinct("task").alias("tasks"),
            F.count_distinct("is_validation").alias("sides"),
            F.min("task").alias("task"),
            F.max("is_validation").alias("is_validation"),
            (F.max("label") > F.min("label")).alias("teaches"),
        )
        .persist()
    )
    try:
        torn = decisions.where("tasks > 1 or sides > 1").first()
        if torn is not None:
            raise TrainingError(
                f"decision {torn['decision_id']!r} lies in {torn['tasks']} tasks and on {torn['sides']} "
                "sides of the validation mark: mark all items of a decision alike, and keep them in one "
                "partition"
            )
        teaching = decisions.where("teaches").select("task", "is_validation").distinct().collect()
    finally:
        decisions.unpersist()
    useful = {(row["task"], row["is_validation"]) for row in teaching}
    for task in range(workers):
        for side, what in ((False, "training"), (True, "validation")):
            if (task, side) not in useful:
                raise TrainingError(
                    f"task {task + 1} of {workers} has no {what} decision with an outcome: "
                    "lower training.num_workers, or train on more decisions"
                )


def _estimator(training: Training) -> SparkXGBRanker:
    chosen = parameters(training)
    if chosen["objective"] != "rank:ndcg":
        raise TrainingError(
            f"Spark trains rank:ndcg only, not {chosen['objective']}: "
            "change training.objective, or raise training.in_process_rows to train in one process"
        )
    return SparkXGBRanker(
        **{"random_state" if name == "seed" else name: value for name, value in chosen.items()},
        n_estimators=training.rounds,
        early_stopping_rounds=training.early_stopping or None,
        features_col="features",
        label_col="label",
        qid_col="decision",
        validation_indicator_col="is_validation",
        num_workers=training.num_workers,
        launch_tracker_on_driver=True,
        verbosity=1,
    )
