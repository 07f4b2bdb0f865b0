#!/usr/bin/env bash
# The whole test suite, from a fresh clone with nothing set up: installs what the tests need (Debian-like
# machines), then runs the stages in order and stops at the first that fails. The last line printed is always
# the count of checks, `N passed, N failed`; the exit code is 0 only if none failed.
#
#   tests/run.sh           everything
#   tests/run.sh --quick   without Postgres and without the external clients, for the desk
#   tests/run.sh --long    everything, and an installation into an empty home
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

mode=full
case ${1-} in
    '') ;;
    --quick | --long) mode=${1#--} ;;
    *) echo "usage: tests/run.sh [--quick | --long]" >&2; exit 2 ;;
esac

work=$PWD/.test
logs=$work/logs
rm -rf "$logs"
mkdir -p "$logs" || exit 1
passed=0 failed=0 cluster='' pg_bin=''

# Reporting is quiet while all is well, and shows the log where it is not.

finish() {
    local code=$?
    trap - EXIT INT TERM
    stop_postgres
    [ "$code" -eq 0 ] || [ "$failed" -gt 0 ] || failed=1
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] || exit 1
    exit 0
}

die() {
    echo "tests/run.sh: $*"
    exit 1
}

# Adds up the checks that a stage's log tells of: cargo's summaries, and the external clients' lines.
count() {
    local sum
    sum=$(awk '/^test result: /{ for (i = 1; i <= NF; i++) { if ($i == "passed;") p += $(i-1); if ($i == "failed;") f += $(i-1) } }
               /^ok /{ p++ } /^FAIL /{ f++ } END { print p + 0, f + 0 }' "$1")
    passed=$((passed + ${sum% *}))
    failed=$((failed + ${sum#* }))
}

stage() {
    local name=$1 log=$logs/$1.log before=$failed start=$SECONDS
    shift
    printf '%-10s ' "$name"
    if "$@" >"$log" 2>&1; then
        count "$log"
        [ "$failed" -eq "$before" ] && { echo "ok ($((SECONDS - start)) s)"; return; }
    else
        count "$log"
    fi
    [ "$failed" -gt "$before" ] || failed=$((failed + 1))
    echo "FAILED ($((SECONDS - start)) s), the end of $log:"
    # What failed stands first; the end alone is often only a list of names.
    grep -nE -A 12 '^(error|FAIL |---- .* stdout ----)|panicked at' "$log" | head -n 120
    tail -n 30 "$log"
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

# need PACKAGES WHAT: installs Debian packages, because WHAT is not there.
need() {
    local log=$logs/packages.log
    command -v apt-get >/dev/null || die "$2 is needed and this machine has no apt-get: install it by hand"
    as_root true 2>/dev/null || die "$2 is needed: run 'apt-get install $1' as root first"
    # shellcheck disable=SC2086 # a list of packages
    { as_root apt-get -q update && as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends $1; } \
        >>"$log" 2>&1 || { tail -n 20 "$log"; die "could not install $1"; }
}

find_postgres() {
    local found
    found=$(command -v initdb || printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
    [ -x "$found" ] && pg_bin=$(dirname "$(readlink -f "$found")")
}

set_up_machine() {
    command -v cargo >/dev/null || die 'no cargo on PATH: get Rust from https://rustup.rs'
    command -v cc >/dev/null || need build-essential 'a C compiler'
    [ "$(uname -s)" != Linux ] || command -v strace >/dev/null || need strace strace
    [ "$mode" = quick ] && return
    find_postgres || need postgresql Postgres
    find_postgres || die 'Postgres was installed, but initdb is not found'
    python3 -c 'import ensurepip, venv' 2>/dev/null || need 'python3 python3-venv' 'Python with venv'
    command -v npm >/dev/null || need 'nodejs npm' 'Node with npm'
}

# Postgres refuses to run as root.
as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

start_postgres() {
    # A private cluster on a socket of its own. Not under the repository: the user postgres may not enter it,
    # and a socket's path must be short.
    cluster=$(mktemp -d /tmp/comms-postgres.XXXXXX) || return 1
    [ "$(id -u)" -ne 0 ] || chown postgres "$cluster" || return 1
    (
        cd / &&
            as_postgres "$pg_bin/initdb" --locale=C --encoding=UTF8 -A trust -U postgres -D "$cluster/data" &&
            as_postgres "$pg_bin/pg_ctl" -w -D "$cluster/data" -l "$cluster/log" \
                -o "-c listen_addresses='' -k $cluster -c fsync=off -c max_connections=200" start
    ) || { cat "$cluster/log" 2>/dev/null; return 1; }
    export TEST_POSTGRES_URL="postgres:///postgres?host=$cluster&user=postgres"
}

stop_postgres() {
    [ -n "$cluster" ] || return 0
    (cd / && as_postgres "$pg_bin/pg_ctl" -m immediate -D "$cluster/data" stop) >/dev/null 2>&1
    rm -rf "$cluster"
    cluster=''
}

tests() {
    # A skipped test is a lie here; at the desk it is said.
    if [ "$mode" = quick ]; then
        env -u CI cargo test --workspace --locked --no-fail-fast
    else
        CI=1 TEST_REQUIRE_ALL=1 timeout 40m cargo test --workspace --locked --no-fail-fast
    fi
}

documents() {
    RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --document-private-items --workspace --locked
}

clients() {
    tests/clients/setup.sh "$work/clients" && tests/clients/run.sh "$work/clients"
}

installation() {
    local home
    home=$(mktemp -d /tmp/comms-home.XXXXXX) || return 1
    HOME=$home ./install.sh --no-service --no-hosts && echo 'ok it installs into an empty home' &&
        HOME=$home ./install.sh --no-service --no-hosts && echo 'ok it installs twice' &&
        HOME=$home ./install.sh --uninstall --purge && echo 'ok it uninstalls' &&
        [ -z "$(find "$home" -name 'comms-*' -o -name 'agentos-comms*')" ] && echo 'ok it leaves nothing behind'
    local code=$?
    rm -rf "$home"
    return "$code"
}

trap finish EXIT
trap 'exit 130' INT TERM
set_up_machine
stage format cargo fmt --all --check
stage lint cargo clippy --workspace --all-targets --locked -- -D warnings
if [ "$mode" = quick ]; then
    echo 'postgres   skipped (--quick): the Postgres cases do not run'
else
    stage postgres start_postgres
fi
stage tests tests
stage documents documents
if [ "$mode" = quick ]; then
    echo 'clients    skipped (--quick): no external MCP client talks to comms-mcp'
else
    stage clients clients
fi
[ "$mode" != long ] || stage install installation
