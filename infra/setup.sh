#!/bin/sh
# Makes or refreshes .venv: the pinned packages of each GROUP (a file in requirements/), and dmarcops from this checkout.
# Usage: [PYTHON=python3.12] infra/setup.sh GROUP...
# Does nothing when .venv already holds just that. Writes into .venv only; as root on Debian it may install pythonX.Y-venv.
set -eu

cd "$(dirname "$0")/.."

say() {
    printf '%s\n' "setup: $*" >&2
}

find_python() { # a system whose python3 is old often has a newer one beside it
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    found=$("${PYTHON:-python3}" --version 2>/dev/null) || found="no program ${PYTHON:-python3}"
    say "dmarcops needs Python 3.11 or newer; found: $found"
    say "Install one; if it is not called python3, name it: make PYTHON=/path/to/python3.12 demo"
    exit 2
}

require_venv_module() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null && return
    package=$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "$1 cannot make virtual environments: it lacks the module ensurepip."
        say "On Debian and Ubuntu: sudo apt-get install $package"
        exit 2
    fi
    say "installing the Debian package $package"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null
}

pip_install() {
    .venv/bin/python -m pip install -qq --disable-pip-version-check "$@"
}

python=$(find_python)
# The place belongs to it: an editable install and the scripts in .venv/bin know the path that they were made for.
identity="$("$python" -c 'import sys; print(sys.version)') in $(pwd)"
if [ "$identity" != "$(cat .venv/made-from 2>/dev/null)" ] || ! .venv/bin/python -c '' 2>/dev/null; then
    require_venv_module "$python"
    say "making .venv with $("$python" --version)"
    rm -rf .venv
    "$python" -m venv .venv
    printf '%s\n' "$identity" >.venv/made-from
fi

for group in build "$@"; do
    if ! cmp -s "requirements/$group.txt" ".venv/installed-$group.txt"; then
        say "installing requirements/$group.txt"
        pip_install --require-hashes -r "requirements/$group.txt"
        cp "requirements/$group.txt" ".venv/installed-$group.txt"
    fi
done

# Last, so that its own dependencies are there; again when its metadata or its commands may have changed.
if ! cmp -s pyproject.toml .venv/installed-project.toml; then
    say "installing dmarcops from this checkout"
    pip_install --no-deps --no-build-isolation --editable .
    cp pyproject.toml .venv/installed-project.toml
fi
