"""One contender of B1 in one process: Kafka to Delta, once to warm up and once for the figures, which are
printed as JSON on the last line."""

import argparse
import json

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from benchmarks.harness import measured
from pipelines import settings as settings_module
from pipelines.domain import load_domain
from pipelines.io import kafka
from pipelines.session import spark_jars, spark_session

# What a tutorial writes: the schema of the event, in Spark's words.
EVENT = """event_id string, event_time bigint, event_type string, user_id string, session_id string,
item_id string, decision_id string, query string, price_minor bigint, currency string, quantity int,
source string, device_id string, ip_hash string"""


def stock_session(settings: settings_module.Settings) -> SparkSession:
    """A session as Delta's quick start makes it: its extensions, and nothing tuned."""
    builder = SparkSession.builder.appName("textbook").master("local[2]").config("spark.driver.memory", "2g")
    builder = builder.config("spark.driver.extraClassPath", ":".join(str(j) for j in spark_jars(settings)))
    builder = builder.config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    builder = builder.config(
        "spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog"
    )
    return builder.config("spark.ui.enabled", "false").getOrCreate()


def textbook(settings: settings_module.Settings, limit: int) -> dict[str, float]:
    """readStream.format("kafka") → from_json → format("delta") with stock settings."""
    spark = stock_session(settings)
    reader = spark.readStream.format("kafka").option("kafka.bootstrap.servers", settings.bootstrap)
    reader = reader.option("subscribe", "interactions").option("startingOffsets", "earliest")
    messages = (reader.option("maxOffsetsPerTrigger", limit) if limit else reader).load()
    parsed = messages.select(
        F.from_json(F.col("value").cast("string"), EVENT).alias("event"), "partition", "offset", "timestamp"
    )
    events = parsed.select("event.*", "partition", "offset", "timestamp")
    out = str(settings.state / "textbook")
    with measured(spark) as figures:
        writer = (
            events.writeStream.format("delta")
            .option("checkpointLocation", f"{out}_checkpoint")
            .trigger(availableNow=True)
        )
        query = writer.start(out)
        query.awaitTermination()
    figures["batches"] = len(query.recentProgress)
    figures["rows"] = spark.read.format("delta").load(out).count()
    return figures


def nothing(settings: settings_module.Settings) -> dict[str, float]:
    """Kafka read by Spark with our options and thrown away: the floor of what any sink can reach."""
    spark = spark_session(settings, "nothing")
    with measured(spark) as figures:
        source = kafka.stream(spark, settings, "interactions", {})
        writer = source.writeStream.format("noop").option("checkpointLocation", str(settings.state / "noop"))
        query = writer.trigger(availableNow=True).start()
        query.awaitTermination()
    figures["rows"] = sum(p["numInputRows"] for p in query.recentProgress)
    return figures


def ours(settings: settings_module.Settings, refine: bool) -> dict[str, float]:
    """land_bronze, and with `refine` refine_silver behind it."""
    from jobs import land_bronze, refine_silver
    from pipelines.contracts.bronze import INTERACTIONS
    from pipelines.io import delta

    spark = spark_session(settings, "ours")
    args = argparse.Namespace(once=True, domain=load_domain("shop", settings))
    with measured(spark) as figures:
        for job in (land_bronze, refine_silver)[: 1 + refine]:
            for query in job.run(settings, spark, args):
                query.awaitTermination()
                if query.exception():
                    raise SystemExit(str(query.exception()))
    figures["rows"] = delta.read(spark, settings, INTERACTIONS).count()
    return figures


def main() -> None:
    """Run the contender on the events of one broker to warm up, then on those of the settings' broker.

    A stream runs for weeks: what a cold JVM costs in its first minute is not what landing costs.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    contenders = {
        "textbook": lambda settings: textbook(settings, 250_000),
        "textbook_unlimited": lambda settings: textbook(settings, 0),
        "nothing": nothing,
        "land": lambda settings: ours(settings, refine=False),
        "land_refine": lambda settings: ours(settings, refine=True),
    }
    parser.add_argument("contender", choices=contenders)
    parser.add_argument("warm_up", metavar="BOOTSTRAP", help="the broker with the events to warm up on")
    args = parser.parse_args()
    settings = settings_module.load()
    aside = {"paths": {"state": str(settings.state / "warm_up")}, "kafka": {"bootstrap": args.warm_up}}
    contenders[args.contender](settings_module.load(overrides=aside))
    print(json.dumps(contenders[args.contender](settings)))


if __name__ == "__main__":
    main()
