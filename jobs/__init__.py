"""One file is one process: arguments, settings, session, wiring, run."""

STREAMS = (
    "update_online_store",
    "land_bronze",
    "land_files",
    "refine_silver",
    "publish_gold",
    "score_stream",
)
"""The streams of a local installation, in the order in which they start."""

WATCH = ("watch_behaviour", "watch_outliers", "watch_metrics", "raise_alerts")
"""The streams of the watch: an application of its own, so that a flood there slows no ranking."""

ALL = (*STREAMS, *WATCH)
