"""A shop with incidents to review, and the service of the review page in a process of its own."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa

from pipelines import settings as settings_module
from pipelines.anomalies.alert_batches import Batch, Rules, State
from pipelines.anomalies.alert_rows import alert_rows, utc
from pipelines.anomalies.alerts import raise_incidents
from pipelines.anomalies.findings import Reason
from pipelines.contracts.silver import EVENTS
from pipelines.contracts.types import arrow_schema
from pipelines.contracts.watch import ALERTS, METRIC_VERDICTS
from pipelines.io import delta
from pipelines.serving.access import digest_of
from pipelines.settings import variables
from pipelines.stack import ports
from tests.builders_watch import MINUTE, NOON_MS, a_drop, an_outlier

EVIL = "<img src=x onerror=document.title='taken'>"
TOKENS = f"""
ann {digest_of("ann's token")} review
bob {digest_of("bob's token")} review
shop {digest_of("shop's token")} rank,events
"""


def findings():
    """A campaign of bots, a stolen account, an outage of the checkout, and a name that is markup."""
    bots = [
        an_outlier(
            *(f"u{n:03d}", float(n % 12) * 5),
            p=10.0 ** -(3.5 + n % 3 / 2),
            exposure=40.0 + n % 7,
            reasons=(
                Reason("gap_entropy", 0.2 + n % 3 / 10, 1.4, 3.9),
                Reason("clicks", 140.0 + n, 0.0, 14.0),
                Reason("purchases_per_click", 0.0, 0.0, 0.2),
            ),
            links={"address": "a3f9", "pattern": "p-17"},
        )
        for n in range(60)
    ]
    stolen = an_outlier(
        *("u907", 35),
        p=2e-5,
        exposure=129_900.0,
        reasons=(
            Reason("spent_minor", 129_900.0, 0.0, 21_000.0),
            Reason("distinct_devices", 3.0, 1.0, 1.0),
            Reason("failures", 7.0, 0.0, 1.0),
        ),
        links={"device": "d-new"},
    )
    outage = [
        a_drop("purchases", minute=50, exposure=310.0, reasons=(Reason("purchases", 3.0, 61.0, 104.0),)),
        a_drop("purchases", "source=app", minute=50, reasons=(Reason("purchases", 0.0, 20.0, 40.0),)),
    ]
    odd = an_outlier(EVIL, 20, p=3e-3, exposure=10.0, reasons=(Reason("distinct_queries", 31.0, 0.0, 9.0),))
    return [*bots, stolen, *outage, odd]


def fill(settings):
    """Write those incidents, a sample of non-alerts, and what the stolen account did."""
    about = settings.alerts
    drawn = an_outlier("u555", 15, p=0.62, reasons=(Reason("carts", 2.0, 0.0, 3.0),))
    given = Batch(findings(), NOON_MS + 60 * MINUTE, samples=[drawn], chance=0.001)
    raised = raise_incidents(State(), given, NOON_MS + 65 * MINUTE, about, Rules())
    for table in (ALERTS, EVENTS, METRIC_VERDICTS):
        delta.ensure_local(settings, table)
    delta.append_arrow(alert_rows(raised.changed, NOON_MS + 65 * MINUTE, about), ALERTS, settings, "")
    delta.append_arrow(events(), EVENTS, settings, "")
    delta.append_arrow(verdicts(), METRIC_VERDICTS, settings, "")
    return raised.changed


def events():
    """An hour of the account that was stolen."""
    kinds = ["login_failed"] * 7 + ["view", "click", "view", "click", "cart", "purchase", "cart", "purchase"]
    rows = [
        {
            "event_id": f"e{n}",
            "event_time": utc(NOON_MS + round((5 + 2.3 * n) * MINUTE)),
            "event_date": utc(NOON_MS).date(),
            "event_type": kind,
            "user_id": "u907",
            "item_id": None if kind == "login_failed" else f"i{40 + n}",
            "price_minor": 64_950 if kind == "purchase" else None,
            "currency": "EUR" if kind == "purchase" else None,
            "source": "web",
            "device_id": "d-new",
        }
        for n, kind in enumerate(kinds)
    ]
    return pa.Table.from_pylist(rows, arrow_schema(EVENTS.schema))


def verdicts():
    """Two hours of purchases, the last windows of which are missing."""
    values = [82, 79, 88, 75, 91, 84, 80, 77, 86, 90, 83, 78, 85, 81, 87, 76, 89, 84, 80, 82, 41, 9, 3, 2]
    rows = [
        {
            "metric": "purchases",
            "segment": "all",
            "window_start": utc(NOON_MS + (5 * n - 60) * MINUTE),
            "window_end": utc(NOON_MS + (5 * n - 55) * MINUTE),
            "day": utc(NOON_MS).date(),
            "value": float(value),
            "expected": 82.0,
            "low": 61.0,
            "high": 104.0,
            "p": 1e-7 if value == 3 else 0.5,
            "alert": value == 3,
            "causes": [{"segment": "source=app", "share": 0.9, "usual_share": 0.4}] if value == 3 else None,
            "calibration": "w1",
            "revision": 1,
        }
        for n, value in enumerate(values)
    ]
    return pa.Table.from_pylist(rows, arrow_schema(METRIC_VERDICTS.schema))


def an_installation(folder, has_tokens=True, **alerts):
    """Settings of an installation with incidents."""
    overrides = {
        "paths": {"state": str(folder)},
        "serving": {"refresh_s": 0.2},
        "alerts": {"double_share": 0.0, **alerts},
    }
    settings = settings_module.load(environ={}, overrides=overrides)
    if has_tokens:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokens").write_text(TOKENS)
    return settings


class Reviewed:
    """The running service, and a client of it."""

    def __init__(self, settings, log: Path):
        self.settings, self.port, self.log = settings, ports.free_port(), log
        environ = {**os.environ, **variables(settings), "PYTHONPATH": str(settings.root)}
        command = [sys.executable, "-m", "jobs.serve_reviews", "--port", str(self.port)]
        with log.open("wb") as out:
            self.process = subprocess.Popen(command, env=environ, stdout=out, stderr=out, cwd=settings.root)
        until = time.monotonic() + 60
        while not self._answers():
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            time.sleep(0.05)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def _answers(self):
        try:
            return self.ask("GET", "/health", token=None)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def ask(self, method, path, body=None, token="ann's token", headers=None):
        """(status, headers, JSON or text)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            sent["content-type"] = "application/json"
        content = body if isinstance(body, bytes | None) else json.dumps(body)
        connection.request(method, path, content, {**sent, **(headers or {})})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        is_json = answer.headers["content-type"] == "application/json"
        return answer.status, answer.headers, json.loads(text) if is_json else text.decode()

    def stop(self):
        """Ask it to stop; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)
