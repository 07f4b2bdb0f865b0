#!/bin/sh
# Builds comms-mcp and comms-relay from this source tree and installs them for the current user, on Linux and
# macOS. Run it again to update: each program is replaced in one step, and the data is left alone.
set -eu

usage() {
    cat <<'USAGE'
usage: ./install.sh [--prefix DIR] [--no-service] [--no-hosts]
       ./install.sh --uninstall [--purge] [--prefix DIR]

  --prefix DIR   install into DIR/bin (default: $HOME/.local)
  --no-service   set up no background service
  --no-hosts     set up no agent host
  --uninstall    remove both programs, keep settings and data
  --purge        with --uninstall: remove settings and data too
USAGE
}

say() { printf '%s\n' "$*"; }
fail() { printf 'install.sh: %s\n' "$*" >&2; exit 1; }
wrong_usage() { printf 'install.sh: %s\n' "$*" >&2; usage >&2; exit 2; }

source_dir=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
programs='comms-mcp comms-relay'
prefix='' action='install' purge='no' service='ask' hosts='ask'

while [ $# -gt 0 ]; do
    case $1 in
        --prefix) [ $# -ge 2 ] || wrong_usage '--prefix needs a folder'; prefix=$2; shift ;;
        --prefix=*) prefix=${1#--prefix=} ;;
        --no-service) service='no' ;;
        --no-hosts) hosts='no' ;;
        --uninstall) action='uninstall' ;;
        --purge) purge='yes' ;;
        -h | --help) usage; exit 0 ;;
        *) wrong_usage "unknown argument: $1" ;;
    esac
    shift
done
[ "$purge" = 'no' ] || [ "$action" = 'uninstall' ] || wrong_usage '--purge only goes with --uninstall'
if [ -z "$prefix" ]; then
    [ -n "${HOME:-}" ] || fail 'HOME is not set: name the folder to install into with --prefix DIR'
    prefix=$HOME/.local
fi
case $prefix in
    /*) ;;
    *) prefix=$PWD/$prefix ;;
esac
bin_dir=$prefix/bin

# The folder of the database, the socket and the lock; the programs compute it alike.
data_dir() {
    if [ -n "${COMMS_HOME:-}" ]; then
        printf '%s' "$COMMS_HOME"
    elif [ "$(uname -s)" = 'Darwin' ]; then
        printf '%s' "${HOME:-}/Library/Application Support/agentos-comms"
    else
        printf '%s' "${HOME:-}/.local/share/agentos-comms"
    fi
}

# The process id of the running relay of this user, or nothing.
running_relay() {
    if [ -x "$bin_dir/comms-relay" ]; then
        "$bin_dir/comms-relay" status --json 2>/dev/null | sed -n 's/.*"pid": *\([0-9][0-9]*\).*/\1/p' | head -n 1
    elif [ -s "$(data_dir)/relay.lock" ]; then
        # The program may be gone already, and the relay still there.
        locked_by=$(tr -cd '0-9' <"$(data_dir)/relay.lock")
        if kill -0 "${locked_by:-none}" 2>/dev/null; then printf '%s' "$locked_by"; fi
    fi
}

# A cargo of rustup finds its toolchain through HOME, which may be another one today.
find_toolchain() {
    command -v cargo >/dev/null 2>&1 ||
        fail 'Rust is needed to build, and no cargo is on PATH: get it from https://rustup.rs, then run this again'
    cargo --version >/dev/null 2>&1 && return
    cargo_home=${CARGO_HOME:-$(dirname -- "$(dirname -- "$(command -v cargo)")")}
    rustup_home=$(dirname -- "$cargo_home")/.rustup
    if [ -z "${RUSTUP_HOME:-}" ] && [ -d "$rustup_home" ]; then
        RUSTUP_HOME=$rustup_home
        export RUSTUP_HOME
    fi
    cargo --version >/dev/null 2>&1 ||
        fail "$(command -v cargo) does not work: $(cargo --version 2>&1 | head -n 1)
If Rust was installed under another home folder, set RUSTUP_HOME to its .rustup; else see https://rustup.rs"
}

check_version() {
    wanted=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$source_dir/Cargo.toml")
    # As cargo will take it: a rust-toolchain file or override counts for this folder.
    found=$(cd "$source_dir" && cargo --version | sed 's/^cargo \([0-9]*\.[0-9]*\).*/\1/')
    if [ "${found%%.*}" -lt "${wanted%%.*}" ] ||
        { [ "${found%%.*}" -eq "${wanted%%.*}" ] && [ "${found#*.}" -lt "${wanted#*.}" ]; }; then
        fail "Rust $wanted or later is needed, this is $found: run 'rustup update', or see https://rustup.rs"
    fi
}

check_compiler() {
    command -v "${CC:-cc}" >/dev/null 2>&1 || fail "a C compiler is needed (for SQLite) and '${CC:-cc}' is not there:
install build-essential on Debian and Ubuntu, gcc on Fedora, or run 'xcode-select --install' on macOS"
}

# Copies beside the old file and renames over it, so that a program is never half there.
install_program() {
    staged=$bin_dir/.$1.$$
    cp "$source_dir/target/release/$1" "$staged"
    chmod 755 "$staged"
    mv -f "$staged" "$bin_dir/$1"
}

next_steps() {
    say ''
    say "Installed: $bin_dir/comms-mcp and $bin_dir/comms-relay"
    [ "$service" = 'no' ] || say 'No background service was set up: that is not part of this version.'
    [ "$hosts" = 'no' ] || say 'No agent host was set up: that is not part of this version.'
    say ''
    say 'Next:'
    case ":$PATH:" in
        *":$bin_dir:"*) ;;
        *) say "  put the programs on your PATH:   export PATH=\"$bin_dir:\$PATH\"" ;;
    esac
    [ -z "$(running_relay)" ] || say '  restart the relay that is running: it is still the former version'
    say '  start the relay (demo mode):     comms-relay run'
    say '  Claude Desktop, in claude_desktop_config.json:'
    command_json=$(printf '%s' "$bin_dir/comms-mcp" | sed 's/[\\"]/\\&/g')
    say "    { \"mcpServers\": { \"comms\": { \"command\": \"$command_json\" } } }"
}

install_all() {
    find_toolchain
    check_version
    check_compiler
    say 'Building (a few minutes the first time) ...'
    # A cross-compiling default would put the programs elsewhere.
    unset CARGO_BUILD_TARGET
    (cd "$source_dir" && cargo build --release --locked --target-dir target -p relay -p mcp-stdio --bins) ||
        fail 'the build failed: what cargo said stands above'
    mkdir -p "$bin_dir" || fail "cannot create $bin_dir: choose another folder with --prefix DIR"
    trap 'rm -f "$bin_dir"/.comms-*."$$"' EXIT
    for program in $programs; do install_program "$program"; done
    say 'Rehearsing: one message and two calls, all on this machine ...'
    "$bin_dir/comms-relay" rehearse || fail 'the rehearsal failed: the programs are installed, but do not rely on them'
    next_steps
}

# Only files that the programs make themselves: COMMS_HOME may be a folder that holds other things too.
purge_comms_home() {
    for name in config.toml comms.db comms.db-wal comms.db-shm comms.sock relay.lock media logs; do
        rm -rf "${COMMS_HOME:?}/$name"
    done
    rmdir "$COMMS_HOME" 2>/dev/null || [ ! -d "$COMMS_HOME" ] || say "Kept $COMMS_HOME: it holds other files."
}

purge_data() {
    if [ -n "${COMMS_HOME:-}" ]; then
        purge_comms_home
    elif [ -z "${HOME:-}" ]; then
        fail 'HOME is not set: no settings or data were removed'
    else
        rm -rf "$(data_dir)" "$HOME/.config/agentos-comms"
    fi
    say 'Removed settings and data.'
}

uninstall_all() {
    pid=$(running_relay)
    if [ -n "$pid" ]; then
        [ "$purge" = 'no' ] || fail "a relay is running and would lose its data: stop it first with 'kill $pid'"
        say "A relay is still running from the removed program: stop it with 'kill $pid'."
    fi
    for program in $programs; do rm -f "$bin_dir/$program"; done
    say "Removed comms-mcp and comms-relay from $bin_dir."
    if [ "$purge" = 'yes' ]; then purge_data; else say 'Settings and data are kept; --purge removes them too.'; fi
}

case $action in
    install) install_all ;;
    uninstall) uninstall_all ;;
esac
