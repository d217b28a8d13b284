"""One file is one process: arguments, settings, session, wiring, run."""

STREAMS = (
    "update_online_store",
    "land_bronze",
    "land_files",
    "refine_silver",
    "publish_gold",
    "watch_behaviour",
    "score_stream",
    "watch_outliers",
    "watch_metrics",
    "raise_alerts",
)
"""The streams of a local installation, in the order in which they start."""
