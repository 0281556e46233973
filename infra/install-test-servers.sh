#!/bin/sh
# Sees to the servers that the tests start for themselves: PostgreSQL, from Debian's packages.
# Does nothing when it is there. No daemon is started or left running, and no service is enabled.
# Not root, or not Debian: says what to install; fails only when DMARCOPS_REQUIRE_SERVERS=1.
set -eu

say() {
    printf '%s\n' "test servers: $*" >&2
}

has_postgresql() { # where tests/conftest.py looks for it
    for server in /usr/lib/postgresql/*/bin/postgres; do
        [ -x "$server" ] && return
    done
    return 1
}

has_postgresql && exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "PostgreSQL's server is missing: there is no /usr/lib/postgresql/*/bin/postgres."
    say "On Debian and Ubuntu: sudo apt-get install postgresql"
    if [ "${DMARCOPS_REQUIRE_SERVERS:-}" = 1 ]; then
        exit 1
    fi
    say "The tests against PostgreSQL will be skipped."
    exit 0
fi

# A package's set-up asks policy-rc.d before it starts its daemon (101: no), and createcluster.conf before it makes a
# database that starts with the machine. Both get the system's own content back, whatever happens.
policy=/usr/sbin/policy-rc.d
clusters=/etc/postgresql-common/createcluster.conf
kept=$(mktemp -d)
restore() {
    rm -f "$policy"
    [ ! -e "$kept/policy" ] || mv "$kept/policy" "$policy"
    [ ! -e "$kept/clusters" ] || mv "$kept/clusters" "$clusters"
    rm -rf "$kept"
}
trap restore EXIT
trap 'exit 1' HUP INT TERM

[ ! -e "$policy" ] || mv "$policy" "$kept/policy"
printf '#!/bin/sh\nexit 101\n' >"$policy"
chmod 755 "$policy"

install() {
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

say "installing the Debian package postgresql (nothing is started)"
apt-get update -qq
install postgresql-common
cp -p "$clusters" "$kept/clusters"
echo "create_main_cluster = false" >>"$clusters"
install postgresql
has_postgresql
