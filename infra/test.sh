#!/bin/sh
# Runs every test under branch coverage and holds the coverage to its limits. The last line is pytest's own closing line.
# Usage: infra/test.sh PYTHON [pytest options]
set -eu

PYTHON=$1
shift
cd "$(dirname "$0")/.."

mkdir -p build
rm -f build/pytest.status .coverage .coverage.*
{
    "$PYTHON" -m coverage run -m pytest "$@" && status=0 || status=$?
    echo "$status" >build/pytest.status
} 2>&1 | tee build/pytest.log
status=$(cat build/pytest.status)

if [ "$status" = 0 ]; then
    "$PYTHON" -m coverage combine --quiet
    # The core decides what becomes of reports, keys and policies: every branch of it is measured. Of the flows a few,
    # such as the end of a worker, are not.
    "$PYTHON" -m coverage report --include='src/dmarcops/report/*,src/dmarcops/dkim/*,src/dmarcops/policy/*' \
        --fail-under=100 || status=1
    "$PYTHON" -m coverage report --include='src/dmarcops/flows/*' --fail-under=99 || status=1
    "$PYTHON" -m coverage report --fail-under=90 || status=1
    [ "$status" = 0 ] || echo "coverage is under its limit, see above"
fi
tail -n 1 build/pytest.log
exit "$status"
