#!/bin/sh
# Writes requirements/*.txt from pyproject.toml: every package of every group pinned with its hashes, for all systems
# and Pythons that the project supports. No index address and no path of this machine gets into them.
# Usage: infra/lock-requirements.sh PYTHON, where PYTHON has uv.
set -eu

PYTHON=$1
cd "$(dirname "$0")/.."

lock() { # lock GROUP [options]: the groups share one environment, so each takes the versions of those before it
    group=$1
    shift
    "$PYTHON" -m uv pip compile "$@" --output-file "requirements/$group.txt" \
        --generate-hashes --universal --python-version 3.11 --upgrade --no-config --quiet \
        --no-emit-index-url --no-emit-find-links --custom-compile-command "make requirements"
    echo "requirements/$group.txt: $(grep -c '==' "requirements/$group.txt") packages"
}

lock base pyproject.toml
lock test --group test --constraint requirements/base.txt
lock server pyproject.toml --constraint requirements/base.txt --constraint requirements/test.txt \
    --extra postgresql --extra parquet --extra oauth --extra aws --extra lexicon --extra notify --extra pdf
lock lint --group lint --constraint requirements/base.txt --constraint requirements/test.txt
lock docs --group docs --constraint requirements/base.txt --constraint requirements/test.txt \
    --constraint requirements/lint.txt
lock build --group build --constraint requirements/base.txt --constraint requirements/test.txt \
    --constraint requirements/lint.txt --constraint requirements/docs.txt
lock lock --group lock
# Measured beside dmarcops, in an environment of its own: none of its versions need agree with ours.
lock bench --group bench
