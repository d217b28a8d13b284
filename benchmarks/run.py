"""Run benchmarks one after the other: all of them, or those whose names are given (B1 B2)."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.harness import ROOT

KNOWN = {
    "B1": "benchmarks.b01_landing",
    "B2": "benchmarks.b02_freshness",
    "B3": "benchmarks.b03_features",
    "B7": "benchmarks.b07_scoring",
    "B9": "benchmarks.b09_outliers",
    "B10": "benchmarks.b10_training",
    "B11": "benchmarks.b11_score",
    "B12": "benchmarks.b12_rerank",
    "B13": "benchmarks.b13_trees",
    "B14": "benchmarks.b14_store",
    "B15": "benchmarks.b15_freshness",
    "B16": "benchmarks.b16_store_size",
    "B18": "benchmarks.b18_swap",
    "B19": "benchmarks.b19_overload",
    "B20": "benchmarks.b20_calibration",
    "B22": "benchmarks.b22_detection",
    "B23": "benchmarks.b23_firewall",
    "B24": "benchmarks.b24_alert_order",
    "DROPS": "benchmarks.injected_drops",
    "THIN": "benchmarks.thin_series",
}


def main() -> int:
    """Exit code 0 when all that were asked for ran."""
    asked = [name.upper() for name in sys.argv[1:]] or list(KNOWN)
    unknown = [name for name in asked if name not in KNOWN]
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; known: {', '.join(KNOWN)}", file=sys.stderr)
        return 2
    return max(
        subprocess.run([sys.executable, "-m", KNOWN[name]], cwd=ROOT, check=False).returncode
        for name in asked
    )


if __name__ == "__main__":
    raise SystemExit(main())
