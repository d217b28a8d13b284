"""The watch of a number of any kind: causal, restartable, and NAB's scoring rules on a case done by hand."""

import datetime
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks import nab
from benchmarks.nab_scoring import PROFILES, Series, normalised, read_folder, row_worths, sweep
from pipelines.anomalies.novelty import NoveltyConfig, NoveltyWatch
from pipelines.errors import WatchError

START = datetime.datetime(2026, 3, 2)


def times(rows):
    return [START + datetime.timedelta(minutes=5 * row) for row in range(rows)]


def a_load(rows, seed=1):
    """A machine's load: days alike, with noise."""
    row = np.arange(rows)
    return 50 + 20 * np.sin(row / 288 * 2 * np.pi) + np.random.default_rng(seed).normal(0, 2, rows)


def test_what_never_was_is_news_once():
    values = a_load(1500)
    values[1300:1310] += 60
    scores = NoveltyWatch().run(times(1500), values)
    news = np.flatnonzero(scores >= NoveltyConfig().threshold)
    assert 1300 in news
    assert len(news[news >= 1300]) <= 3
    assert len(news) <= 6


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 699), st.integers(0, 3))
def test_a_score_knows_only_the_past_and_a_restart_is_no_restart(cut, seed):
    values, when = a_load(700, seed), times(700)
    whole = NoveltyWatch().run(when, values)
    first = NoveltyWatch()
    before = first.run(when[:cut], values[:cut])
    after = NoveltyWatch.load(first.save()).run(when[cut:], values[cut:])
    assert np.array_equal(np.concatenate([before, after]), whole)


def test_memory_is_bounded():
    config = NoveltyConfig(memory=1500)
    watch = NoveltyWatch(config)
    scores = watch.run(times(3200), a_load(3200))
    assert len(scores) == 3200
    assert NoveltyWatch.load(watch.save(), config).update(times(1)[0], 50.0).evidence >= 0


def test_bad_rows_and_states_are_told():
    watch = NoveltyWatch()
    assert watch.update(START, math.nan).reason == "no value"
    with pytest.raises(WatchError, match="a value cannot be inf"):
        watch.update(START, math.inf)
    with pytest.raises(WatchError, match="another configuration"):
        NoveltyWatch.load(watch.save(), NoveltyConfig(rest=9))
    with pytest.raises(WatchError, match="damaged"):
        NoveltyWatch.load(watch.save()[:50])
    with pytest.raises(WatchError, match="cannot have"):
        NoveltyConfig(rest=0)


def a_series(rows=100, windows=((40, 49),)):
    return Series("real/one.csv", np.array(times(rows), "datetime64[us]"), np.zeros(rows), tuple(windows))


def test_the_scoring_rules_on_a_case_done_by_hand():
    """Window of rows 40..49, the first 15 rows do not count: worth is 2 / (1 + exp(5 y)) - 1."""
    series = a_series()
    worths, window = row_worths(series)
    assert [window[row] for row in (14, 15, 40, 49, 50)] == [-2, -1, 0, 0, -1]
    assert worths[40] == pytest.approx(0.98661, abs=1e-5)
    assert worths[45] == pytest.approx(2 / (1 + math.exp(-2.5)) - 1)
    assert worths[58] == pytest.approx(2 / (1 + math.exp(5)) - 1), "a window's length behind it"
    assert (worths[20], worths[77]) == (-1.0, -1.0)
    scores = np.zeros(100)
    scores[[10, 20, 45, 47]] = 1.0, 0.5, 0.9, 0.95
    found = sweep([series], [scores], PROFILES[0])
    early, late = worths[45] / worths[40], worths[47] / worths[40]
    expected = [-1.0, late, early, early - 0.11]
    assert found.scores[:4] == pytest.approx(expected)
    assert found.thresholds[:4].tolist() == [np.inf, 0.95, 0.9, 0.5]
    assert (found.at(0.93), found.at(0.6), found.at(2.0)) == pytest.approx((late, early, -1.0))
    assert normalised(found.best()[1], [series], PROFILES[0]) == pytest.approx(100 * (early + 1) / 2)
    assert sweep([series], [scores], PROFILES[2]).scores[0] == -2.0


def test_perfect_detection_is_100_and_silence_is_0():
    series = a_series(windows=((20, 29), (60, 79)))
    perfect = np.zeros(100)
    perfect[[20, 60]] = 1.0
    for profile in PROFILES:
        assert normalised(sweep([series], [perfect], profile).at(1.0), [series], profile) == pytest.approx(
            100
        )
        silent = sweep([series], [np.zeros(100)], profile).at(1.0)
        assert normalised(silent, [series], profile) == 0


def test_the_benchmark_scores_a_folder_of_its_shape(tmp_path):
    values = a_load(900)
    values[700:704] = 200
    folder = tmp_path / "data" / "real"
    folder.mkdir(parents=True)
    rows = "".join(f"{when},{value}\n" for when, value in zip(times(900), values, strict=True))
    (folder / "load.csv").write_text("timestamp,value\n" + rows)
    window = [str(times(900)[690]), str(times(900)[735])]
    (tmp_path / "labels.json").write_text(
        f'{{"real/load.csv": [{window}], "real/none.csv": []}}'.replace("'", '"')
    )
    corpus = read_folder(tmp_path / "data", tmp_path / "labels.json")
    assert [series.windows for series in corpus] == [((690, 735),)]
    table = nab.lines(corpus, None)
    ours, peer = table[0], next(row for row in table if row[0].startswith("windowed Gaussian"))
    assert ours[0] == "LakePulse, optimised"
    assert ours[1] > 80
    assert peer[1] <= 100
    watch = NoveltyWatch()
    alone = watch.run(corpus[0].times, corpus[0].values)
    assert np.array_equal(nab.scored([nab.answers(corpus[0])], range(5))[0], alone)


def test_the_real_benchmark(shared_data):
    """A few of its series, as a check that nothing has got much worse; all of them: benchmarks/nab.py."""
    folder = shared_data / "nab"
    corpus = read_folder(folder / "data", folder / "labels" / "combined_windows.json")
    some = [series for series in corpus if series.category == "realTraffic"]
    scores = [NoveltyWatch().run(series.times, series.values) for series in some]
    assert len(some) == 7
    assert normalised(sweep(some, scores, PROFILES[0]).best()[1], some, PROFILES[0]) > 70
