"""Replaying files: every record reaches its topic, under its key, with its time; what cannot be is said."""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections import defaultdict

import pytest
from confluent_kafka import Consumer, TopicPartition

from pipelines import cli
from pipelines.domain import load_domain
from pipelines.io import kafka_admin
from pipelines.io.replay import Address, Addresses, ArrivalClock, Pace
from pipelines.settings import load
from tests.simulate.played import play

NOW = 1_800_000_000_000
EVENT = {
    "event_id": "e1",
    "event_type": "view",
    "event_time": 1_767_571_200_000,
    "user_id": "u1",
    "item_id": "i1",
}
ITEM = {"record": "item", "item_id": "i7", "valid_from": 1_767_571_200_001, "attributes": {"tags": ["a"]}}


# --- addresses


def address(record, domain="shop"):
    value = record if isinstance(record, bytes) else json.dumps(record).encode()
    return Addresses(load_domain(domain, load(environ={}))).of(value)


def test_a_record_goes_to_the_topic_of_its_kind_under_its_key():
    assert address(EVENT) == Address("interactions", b"u1", 1_767_571_200_000)
    assert address(ITEM) == Address("catalog", b"i7", 1_767_571_200_001)
    decision = {
        "event_type": "decision",
        "decision_id": "d",
        "user_id": "u2",
        "event_time": 5,
        "items": ["i7"],
    }
    assert address(decision) == Address("interactions", b"u2", 5)


def test_another_domain_reads_its_own_fields():
    ranking = {
        "event": "ranking",
        "id": "r",
        "timestamp": "1636907100000",
        "user": "u",
        "session": "s",
        "items": [],
    }
    assert address(ranking, "ranklens") == Address("interactions", b"u", 1_636_907_100_000)
    item = {"event": "item", "item": "3", "timestamp": "1636907100000", "fields": []}
    assert address(item, "ranklens") == Address("catalog", b"3", 1_636_907_100_000)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b'{"user_id":"\xff"}',
        b"[1]",
        b"null",
        b"[" * 100_000,
        b'{"user_id":NaN}',
        b'{"event":"user"}',
    ],
)
def test_what_is_no_record_of_the_domain_has_no_key(value):
    assert address(value, "ranklens") == Address("interactions", None, None)


@pytest.mark.parametrize(
    ("user", "key"),
    [(7, b"7"), ("", None), (None, None), (True, None), ({"a": 1}, None), ([1], None), ("é", "é".encode())],
)
def test_a_key_is_a_text_or_a_number(user, key):
    assert address(EVENT | {"user_id": user}) == Address("interactions", key, 1_767_571_200_000)


# --- times


def test_a_record_arrives_at_its_own_time_late_or_not():
    clock = ArrivalClock(0, lambda: NOW)
    assert [clock.stamp(t) for t in (1000, 3000, 2000)] == [1000, 3000, 2000]


@pytest.mark.parametrize("time_ms", [None, 0, -5, NOW + 1, 2**62])
def test_a_record_without_a_time_that_can_be_arrives_with_the_newest_before_it(time_ms):
    clock = ArrivalClock(0, lambda: NOW)
    assert clock.stamp(time_ms) == NOW
    assert [clock.stamp(t) for t in (1000, 3000, 2000, time_ms, 2500)] == [1000, 3000, 2000, 3000, 2500]


def test_as_far_ahead_as_clocks_may_differ_is_no_future():
    assert ArrivalClock(60_000, lambda: NOW).stamp(NOW + 60_000) == NOW + 60_000


def test_a_pace_keeps_the_distances_of_the_records():
    pace, begin = Pace(10.0), time.monotonic()
    for stamp in (5_000, 6_000, 5_500, 8_000):
        pace.wait(stamp)
    assert 0.3 <= time.monotonic() - begin < 1.0


# --- into Kafka


@pytest.fixture
def topics(kafka_broker, monkeypatch):
    """The broker with empty topics, found by every verb; gives a function that reads a topic."""
    kafka_broker.empty_topics()
    monkeypatch.setenv("LAKEPULSE__PATHS__STATE", str(kafka_broker.settings.state))

    def read(topic):
        consumer = Consumer({"bootstrap.servers": kafka_broker.bootstrap, "group.id": "replay"})
        ends = kafka_admin.end_offsets(kafka_broker.settings, topic)
        consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
        found = []
        while len(found) < sum(ends.values()):
            found += consumer.consume(10_000, timeout=5)
        consumer.close()
        return found

    return read


def write_shop(tmp_path, count=3_000, **knobs):
    played = play(count, malformed_share=0.01, huge_bytes=2_000, late_share=0.05, **knobs)
    (tmp_path / "shop.jsonl").write_bytes(b"\n".join(played.lines))
    return played


def test_a_replayed_file_is_in_kafka_record_by_record(tmp_path, topics, capsys):
    played = write_shop(tmp_path)
    assert cli.main(["replay", str(tmp_path / "shop.jsonl"), "--domain", "shop"]) == 0
    found = topics("interactions")
    events = [line for line in played.lines if b'"record":"item"' not in line]
    items = [line for line in played.lines if b'"record":"item"' in line]
    assert sorted(m.value() for m in found) == sorted(events)
    assert sorted(m.value() for m in topics("catalog")) == sorted(items)
    said = capsys.readouterr().out
    assert f"sent {len(played.lines):,} messages" in said
    assert f"interactions  {len(events):>12,}" in said

    per_user, where = defaultdict(list), defaultdict(set)
    for message in sorted(found, key=lambda m: (m.partition(), m.offset())):
        where[message.key()].add(message.partition())
        per_user[message.key()].append(message.value())
    sent = defaultdict(list)
    addresses = Addresses(load_domain("shop", load(environ={})))
    for line in events:
        sent[addresses.of(line).key].append(line)
    keyless = sent.pop(None)
    assert sorted(per_user.pop(None)) == sorted(keyless)
    assert where.pop(None)
    assert per_user == sent  # one user's events have one order, the file's
    assert all(len(partitions) == 1 for partitions in where.values())
    in_ten_years = play(1).arrivals[0] + 10 * 365 * 86_400_000
    for message in found:
        at = addresses.of(message.value()).time_ms
        if at is not None and at < in_ten_years:
            assert message.timestamp()[1] == at


def test_a_replay_stops_at_its_limit(tmp_path, topics, capsys):
    write_shop(tmp_path)
    assert cli.main(["replay", str(tmp_path / "shop.jsonl"), "--limit", "120"]) == 0
    assert len(topics("interactions")) + len(topics("catalog")) == 120
    assert "120 records in" in capsys.readouterr().out


def test_a_simulated_shop_goes_to_kafka_with_the_times_of_arrival(topics):
    # 500 records are 100 s of this shop: what is to arrive among them may be late by seconds only.
    lateness = ["--late-share", "0.2", "--late-minutes", "0.1", "--malformed-share", "0"]
    assert cli.main(["simulate", "--out", "kafka", "--events", "500", "--users", "50", *lateness]) == 0
    found = topics("interactions")
    assert len(found) == 500
    late = [m for m in found if m.timestamp()[1] > json.loads(m.value()).get("event_time", 2**62)]
    assert 50 < len(late) < 150


def test_what_kafka_refuses_is_counted_and_fails_the_replay(tmp_path, topics, capsys, monkeypatch):
    monkeypatch.setenv("LAKEPULSE__KAFKA__MAX_MESSAGE_BYTES", "20000")
    big = json.dumps(EVENT | {"query": "x" * 50_000})
    (tmp_path / "a.jsonl").write_text("\n".join([json.dumps(EVENT), big, json.dumps(ITEM)]))
    assert cli.main(["replay", str(tmp_path / "a.jsonl")]) == 1
    assert "NOT delivered: 1 messages, the first: " in capsys.readouterr().out
    assert len(topics("interactions")) == len(topics("catalog")) == 1


def test_a_damaged_file_is_sent_up_to_the_damage_and_fails_the_replay(tmp_path, topics, capsys):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress((json.dumps(EVENT) + "\n").encode() * 200)[:-8])
    assert cli.main(["replay", str(path)]) == 1
    assert "cannot be read behind line 200" in capsys.readouterr().err
    assert len(topics("interactions")) == 200


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("none.jsonl",), "there is no file none.jsonl"),
        (("notes.txt",), "no kind of file that can be replayed"),
        (("-", "--domain", "shap"), "did you mean 'shop'"),
    ],
)
def test_what_cannot_be_replayed_is_refused_in_words(options, words, capsys):
    assert cli.main(["replay", *options]) == 1
    assert words in capsys.readouterr().err


def test_no_broker_is_told_within_seconds(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("LAKEPULSE__KAFKA__BOOTSTRAP", "127.0.0.1:9")
    (tmp_path / "a.jsonl").write_text(json.dumps(EVENT))
    assert cli.main(["replay", str(tmp_path / "a.jsonl")]) == 1
    assert "Kafka at 127.0.0.1:9 does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("speed", ["5", "x", "0x", "-1x", "nanx", "fast"])
def test_a_speed_is_a_number_of_times(speed, capsys):
    with pytest.raises(SystemExit):
        cli.main(["replay", "-", f"--speed={speed}"])
    assert "neither max nor a number of times" in capsys.readouterr().err


def test_ctrl_c_sends_what_was_read_and_says_how_far_it_came(topics):
    command = "import sys; from pipelines.cli import main; sys.exit(main(['replay', '-', '--speed', '1x']))"
    replay = subprocess.Popen(
        [sys.executable, "-c", command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ,
    )
    soon = [json.dumps(EVENT | {"event_id": f"e{n}"}).encode() for n in range(10)]
    tomorrow = json.dumps(EVENT | {"event_time": EVENT["event_time"] + 86_400_000}).encode()
    replay.stdin.write(b"\n".join([*soon, tomorrow, b""]))
    replay.stdin.flush()
    deadline = time.monotonic() + 60
    while len(topics("interactions")) < 10 and time.monotonic() < deadline:
        time.sleep(0.2)
    replay.send_signal(signal.SIGINT)
    said, told = replay.communicate(timeout=60)
    assert replay.returncode == 130
    assert b"10 records in" in said
    assert b"stopped after record 10" in told
    assert len(topics("interactions")) == 10
