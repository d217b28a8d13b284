"""As tests/io/test_raising.py, with ten times as many deaths."""

from tests.io.test_raising import kill_every


def test_a_kill_anywhere_gives_the_same_alerts(tmp_path):
    kill_every(7, tmp_path)
