"""Messages that wait on disk: bounded, in order, and whole after a crash."""

from pipelines.io.spool import Spool

ONE, TWO, THREE = ((b"u", b"x" * size, size) for size in (1, 20, 300))


def test_what_waits_is_there_after_a_restart_in_its_order(tmp_path):
    spool = Spool(tmp_path / "spool", 10_000)
    assert all(spool.put(message) for message in (ONE, TWO, THREE))
    spool.close()
    again = Spool(tmp_path / "spool", 10_000)
    assert again.oldest(10) == [ONE, TWO, THREE]
    again.drop(2)
    assert (again.count, again.oldest(10)) == (1, [THREE])
    assert again.put(ONE)
    assert again.oldest(1) == [THREE]
    again.drop(2)
    again.close()
    assert not (tmp_path / "spool").exists()


def test_half_a_message_is_cut_off(tmp_path):
    spool = Spool(tmp_path / "spool", 10_000)
    spool.put(ONE)
    spool.put(TWO)
    spool.close()
    whole = (tmp_path / "spool").read_bytes()
    (tmp_path / "spool").write_bytes(whole[:-3])
    again = Spool(tmp_path / "spool", 10_000)
    assert again.oldest(10) == [ONE]
    assert again.put(THREE)
    assert again.oldest(10) == [ONE, THREE]
    again.close()


def test_a_full_spool_takes_nothing_more(tmp_path):
    spool = Spool(tmp_path / "spool", 60)
    assert spool.put(ONE)
    assert spool.put(TWO) is True
    assert spool.put(THREE) is False
    assert spool.oldest(10) == [ONE, TWO]
    spool.close()
