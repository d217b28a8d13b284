#!/usr/bin/env bash
# Check that this machine has what LakePulse needs, then install the rest into the project's folder.
#   bootstrap.sh pipeline   .venv and the jars        bootstrap.sh airflow   .venv-airflow as well
# PYTHON names the interpreter to use; otherwise the first Python 3.11 of python3.11, python3 and python is taken.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."

if [ "$(uname -s)" != Linux ]; then
    echo "LakePulse runs on Linux; this is $(uname -s). Use a Linux machine, a virtual one or WSL 2." >&2
    exit 1
fi

usable() { # a Python 3.11 that can make environments
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))' >/dev/null 2>&1
}

unset PYTHONHOME PYTHONPATH PYTHONSAFEPATH # of another environment
candidates=(python3.11 python3 python)
for python in "${PYTHON:-${candidates[@]}}"; do
    if usable "$python"; then
        exec "$python" -m pipelines.stack.bootstrap "$@"
    fi
done

cat >&2 <<TEXT
LakePulse needs Python 3.11 with its venv module, and found none${PYTHON:+ (PYTHON=$PYTHON is not one)}. Get it, then run this again:
  Debian 12                      apt install python3.11 python3.11-venv
  Ubuntu 22.04 and newer         add-apt-repository ppa:deadsnakes/ppa && apt install python3.11 python3.11-venv
  Fedora, RHEL, Rocky, Alma      dnf install python3.11
  openSUSE                       zypper install python311
  any, without root              uv python install 3.11   or   pyenv install 3.11
An interpreter in another place is named like this:  make setup PYTHON=/path/to/python3.11
TEXT
command -v "${JAVA_HOME:+$JAVA_HOME/bin/}java" >/dev/null || echo "A Java runtime, 17 or newer, is missing too (Debian, Ubuntu: apt install openjdk-17-jre-headless)." >&2
exit 1
