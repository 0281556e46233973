#!/bin/sh
# Sees to the servers that the tests start for themselves (PostgreSQL, Dovecot, BIND, OpenDKIM, ...), and to what makes
# and reads PDF (Pango, fonts, poppler), from Debian's packages.
# Does nothing when they are there. No daemon is started or left running, and no service is enabled.
# Not root, or not Debian: says what to install; fails only when DMARCOPS_REQUIRE_SERVERS=1.
set -eu

say() {
    printf '%s\n' "test servers: $*" >&2
}

# What each test server is found by, and the packages it comes in. A machine has one MTA: Postfix where there is none yet.
# Exim is unpacked beside it, and not installed.
exim=$(dirname "$0")/../build/exim
has_postgresql() { # where tests/conftest.py looks for it
    for server in /usr/lib/postgresql/*/bin/postgres; do
        [ -x "$server" ] && return
    done
    return 1
}

packages=""
want() { # want PROGRAM PACKAGE...
    program=$1
    shift
    PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || packages="$packages $*"
}
has_postgresql || packages="postgresql-common postgresql"
want dovecot dovecot-imapd dovecot-lmtpd dovecot-pop3d
[ -x /usr/lib/dovecot/lmtp ] || packages="$packages dovecot-lmtpd"
[ -x /usr/lib/dovecot/pop3 ] || packages="$packages dovecot-pop3d"
want named bind9
want opendkim opendkim opendkim-tools
want pdns_server pdns-server pdns-backend-sqlite3
want rspamd rspamd
PATH="$PATH:/usr/sbin:/sbin" command -v sendmail >/dev/null || want postfix postfix
want openssl openssl
want pdftotext poppler-utils
has_file() { # has_file PATTERN...: what is no program is found by a file
    for file in "$@"; do
        [ -e "$file" ] && return
    done
    return 1
}
has_file /usr/lib/*/libpangoft2-1.0.so.0 || packages="$packages libpangoft2-1.0-0"
has_file /usr/lib/*/libharfbuzz-subset.so.0 || packages="$packages libharfbuzz-subset0"
has_file /usr/share/fonts/truetype/noto/NotoSans-Regular.ttf || packages="$packages fonts-noto-core"
has_file /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc || packages="$packages fonts-noto-cjk"

has_exim() {
    PATH="$PATH:/usr/sbin:/sbin" command -v exim4 >/dev/null || [ -x "$exim/usr/sbin/exim4" ]
}
has_exim || [ "$(id -u)" != 0 ] || packages="$packages exim4-daemon-light" # its tests are for root

[ -n "$packages" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "programs of test servers are missing. On Debian and Ubuntu:"
    say "sudo apt-get install --no-install-recommends$packages"
    if [ "${DMARCOPS_REQUIRE_SERVERS:-}" = 1 ]; then
        exit 1
    fi
    say "The tests against them will be skipped."
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
    case $1 in
    # It gets no configuration and so has nothing to start with: tests bring theirs.
    postfix) echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections ;;
    esac
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

unpack_exim() { # with the libraries it needs, and the user that it would make
    mkdir -p "$exim"
    chmod 755 "$exim"
    (cd "$kept" && apt-get download -qq -o APT::Sandbox::User=root exim4-daemon-light)
    libraries=$(dpkg-deb --field "$kept"/exim4-daemon-light_*.deb Depends | tr ',' '\n' | sed -n 's/^ *\(lib[^ ]*\).*/\1/p')
    for library in $libraries; do
        install "$library"
    done
    id Debian-exim >/dev/null 2>&1 || useradd --system --user-group --no-create-home --shell /usr/sbin/nologin Debian-exim
    dpkg-deb --extract "$kept"/exim4-daemon-light_*.deb "$exim"
}

say "installing the Debian packages$packages (nothing is started)"
apt-get update -qq
case "$packages" in
*postgresql*)
    install postgresql-common
    cp -p "$clusters" "$kept/clusters"
    echo "create_main_cluster = false" >>"$clusters"
    ;;
esac
for package in $packages; do
    case $package in
    exim4-daemon-light) unpack_exim ;;
    *) install "$package" ;;
    esac
done
has_postgresql
