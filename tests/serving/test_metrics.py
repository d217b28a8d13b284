"""Metrics in the format that Prometheus reads."""

import re

from pipelines.serving import metrics
from pipelines.serving.metrics import Metrics

LINE = re.compile(r'^(# (HELP|TYPE) lakepulse_\w+ .+|lakepulse_\w+\{(\w+="([^"\\]|\\.)*",?)+\} [-+0-9.e]+)$')


def test_every_line_is_one_that_prometheus_reads():
    kept = Metrics(2)
    kept.time("/rank", 200, 0.0007)
    kept.time("/rank", 503, 9.0)
    kept.count("degraded_total", (("what", 'a "quoted"\nname'),))
    kept.gauge("model_version", 1, (("version", "3"),))
    text = kept.text({"kafka_queue": 4})
    assert all(LINE.match(line) for line in text.splitlines()), text
    assert 'lakepulse_request_seconds_bucket{route="/rank",le="0.001",worker="2"} 1' in text
    assert 'lakepulse_request_seconds_bucket{route="/rank",le="+Inf",worker="2"} 2' in text
    assert 'lakepulse_requests_total{route="/rank",status="503",worker="2"} 1' in text
    assert 'lakepulse_kafka_queue{worker="2"} 4' in text
    kept.drop("model_version")
    assert "model_version{" not in kept.text({})


def test_every_metric_says_what_it_is():
    assert all(text and not text.endswith(".") for text in metrics.HELP.values())
