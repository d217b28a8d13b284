"""What the service counts of itself, as Prometheus reads it."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping

BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
HELP = {
    "requests_total": "requests by route and status",
    "request_seconds": "time from the first byte to the answer, by route",
    "ranked_items_total": "items that were ranked",
    "degraded_total": "answers in which something was not known, by what it was",
    "events_total": "events by what became of them",
    "shed_total": "requests that were refused because too many waited or they waited too long",
    "model_version": "1 for the version in charge",
    "model_age_seconds": "since when the registry last confirmed the version in charge",
    "model_refused_total": "versions that were refused, and the one before stayed",
    "accepted_users": "users of whom something waits for the online store",
    "decisions_delivered": "decisions that Kafka has",
    "decisions_dropped": "decisions that were lost because the spool was full",
    "features_delivered": "messages of features that Kafka has",
    "features_shed": "messages of features that were left out because too much waited",
    "kafka_queue": "messages that wait for Kafka in memory",
    "spooled_decisions": "decisions that wait for Kafka on disk",
    "kafka_away": "1 while Kafka does not answer",
}
Labels = tuple[tuple[str, str], ...]


class Metrics:
    """Counters, gauges and histograms of one process."""

    def __init__(self, worker: int) -> None:
        """`worker` tells the processes apart that share a port."""
        self._worker = worker
        self._counts: Counter[tuple[str, Labels]] = Counter()
        self._gauges: dict[tuple[str, Labels], float] = {}
        self._times: dict[Labels, tuple[list[int], float]] = {}

    def count(self, name: str, labels: Labels = (), by: int = 1) -> None:
        """Add to a counter."""
        self._counts[name, labels] += by

    def gauge(self, name: str, value: float, labels: Labels = ()) -> None:
        """Set a gauge."""
        self._gauges[name, labels] = value

    def drop(self, name: str) -> None:
        """Forget a gauge under all its labels."""
        self._gauges = {key: value for key, value in self._gauges.items() if key[0] != name}

    def time(self, route: str, status: int, seconds: float) -> None:
        """Count a request of this route with its status and time."""
        self._counts["requests_total", (("route", route), ("status", str(status)))] += 1
        labels = (("route", route),)
        buckets, total = self._times.get(labels) or ([0] * (len(BOUNDS_S) + 1), 0.0)
        buckets[bisect_left(BOUNDS_S, seconds)] += 1
        self._times[labels] = (buckets, total + seconds)

    def text(self, others: Mapping[str, int]) -> str:
        """All of it, with the counters of others, in Prometheus' text format 0.0.4."""
        gauges = dict(self._gauges) | {(name, ()): float(value) for name, value in others.items()}
        lines: list[str] = []
        for kind, values in (("counter", dict(self._counts)), ("gauge", gauges)):
            for name in sorted({name for name, _ in values}):
                lines += self._head(name, kind)
                lines += [
                    f"lakepulse_{name}{self._labels(labels)} {value:g}"
                    for (found, labels), value in sorted(values.items())
                    if found == name
                ]
        lines += self._head("request_seconds", "histogram") if self._times else []
        for labels, (buckets, total) in sorted(self._times.items()):
            so_far = 0
            for bound, amount in zip([*map(str, BOUNDS_S), "+Inf"], buckets, strict=True):
                so_far += amount
                own = self._labels((*labels, ("le", bound)))
                lines.append(f"lakepulse_request_seconds_bucket{own} {so_far}")
            lines.append(f"lakepulse_request_seconds_sum{self._labels(labels)} {total:.6f}")
            lines.append(f"lakepulse_request_seconds_count{self._labels(labels)} {so_far}")
        return "\n".join(lines) + "\n"

    def _head(self, name: str, kind: str) -> list[str]:
        return [f"# HELP lakepulse_{name} {HELP[name]}", f"# TYPE lakepulse_{name} {kind}"]

    def _labels(self, labels: Labels) -> str:
        pairs = ",".join(
            f'{name}="{_escaped(value)}"' for name, value in (*labels, ("worker", str(self._worker)))
        )
        return "{" + pairs + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
