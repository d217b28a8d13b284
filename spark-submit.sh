#!/usr/bin/env bash
# Run a job of jobs/ with spark-submit: ./spark-submit.sh --help
set -euo pipefail
root=$(dirname "$(readlink -f "$0")")
if [ ! -x "$root/.venv/bin/python" ]; then
    echo "spark-submit.sh: LakePulse is not installed in $root: run make setup there" >&2
    exit 1
fi
exec "$root/.venv/bin/python" -P -m pipelines.stack.submit "$@"
