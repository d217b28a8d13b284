"""B11: scoring one item by a user's state; contenders and rules are those of B12."""

from benchmarks.b12_rerank import compare


def main() -> None:
    """Lists of one."""
    compare(1, "b11_score", "B11: one item scored by the user's state")


if __name__ == "__main__":
    main()
