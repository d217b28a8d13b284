"""What the commands of the local stack print."""

import io

import pytest

from pipelines.stack import report
from pipelines.stack.local import Seen


class Terminal(io.StringIO):
    """Text that claims to be written to a terminal."""

    def isatty(self) -> bool:
        return True


def told(out: io.StringIO) -> str:
    """What is written while a part starts and comes up."""
    progress = report.Progress(out)
    progress("kafka", "starting", False)
    progress("kafka", "starting, 1 s", False)
    progress("kafka", "starting, 1 s", False)
    progress("kafka", "up", True)
    return out.getvalue()


def test_only_results_are_written_to_a_file() -> None:
    assert told(io.StringIO()) == "kafka    up\n"


def test_on_a_terminal_the_line_moves_and_the_result_replaces_it() -> None:
    clear = "\r\x1b[2K"
    expected = f"kafka    starting{clear}kafka    starting, 1 s{clear}kafka    up\n"
    assert told(Terminal()) == expected


def test_the_table_has_a_line_a_part() -> None:
    running = Seen("kafka", "running", 12, "127.0.0.1:21000", 3661, 230, "/logs/kafka.log")
    assert report.table([running, Seen("streams", "stopped")]) == (
        "PART     STATE    PID  ADDRESS          UP     MEMORY  LOG\n"
        "kafka    running  12   127.0.0.1:21000  1h01m  230 MB  /logs/kafka.log\n"
        "streams  stopped  -    -                -      -       -"
    )


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59, "59s"), (60, "1m00s"), (3599, "59m59s"), (3600, "1h00m"), (93_600, "1d02h")],
)
def test_a_duration_is_two_units_at_most(seconds: int, text: str) -> None:
    assert report.duration(seconds) == text
