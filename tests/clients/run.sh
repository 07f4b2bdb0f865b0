#!/usr/bin/env bash
# Lets the official client libraries talk to the programs: MCP in both eras of its protocol against comms-mcp and
# a relay in demo mode, signed webhooks against a relay in live mode. Prints one line per check, `ok …` or
# `FAIL …`; exits non-zero if one failed.
#
#   tests/clients/run.sh DIR    DIR is what tests/clients/setup.sh made
set -uo pipefail
clients=$(cd "${1:?usage: tests/clients/run.sh DIR}" && pwd) || exit 1
cd "$(dirname "$0")/../.." || exit 1

# Nothing of the caller's own relay or provider account may leak in.
for name in $(compgen -e | grep -E '^(COMMS|TWILIO)_'); do unset "$name"; done
export COMMS_PUBLIC__LISTEN=127.0.0.1:0 COMMS_ADMIN__LISTEN=127.0.0.1:0
# Several drivers are one agent here: more than one would do in a day.
export COMMS_LIMITS__ACTIONS_PER_MINUTE=1000 COMMS_LIMITS__ACTIONS_PER_HOUR=1000 COMMS_LIMITS__ACTIONS_PER_DAY=1000 \
    COMMS_LIMITS__SPEND_PER_DAY=1000 COMMS_LIMITS__SPEND_PER_MONTH=1000 \
    COMMS_LIMITS__CALLS_PER_DAY_SAME_NUMBER=100 COMMS_LIMITS__POOL=1000

cargo build --quiet --locked --workspace --bin comms-relay --bin comms-mcp || exit 1
programs=$(cd "${CARGO_TARGET_DIR:-target}/debug" && pwd) || exit 1
homes=$(mktemp -d /tmp/comms-clients.XXXXXX) || exit 1
relays=()
failed=0

# shellcheck disable=SC2329 # the trap calls it
stop() {
    for pid in "${relays[@]}"; do kill "$pid" 2>/dev/null; done
    for pid in "${relays[@]}"; do wait "$pid" 2>/dev/null; done
    # A client may have started a relay of its own, which nobody here is the parent of.
    for lock in "$homes"/*/relay.lock; do
        [ -s "$lock" ] && kill "$(tr -cd 0-9 <"$lock")" 2>/dev/null
    done
    rm -rf "$homes"
}
trap stop EXIT

# start HOME [NAME=VALUE …]: starts a relay there and sets `public` to its public address.
start() {
    local home=$1 ready
    shift
    mkdir -p "$home" && chmod 700 "$home" && mkfifo "$home/ready" || exit 1
    env "$@" COMMS_HOME="$home" "$programs/comms-relay" run >"$home/ready" 2>"$home/stderr" &
    relays+=($!)
    exec 3<"$home/ready"
    if ! read -r -t 30 ready <&3; then
        echo "FAIL a relay starts: $(tail -n 3 "$home/stderr")"
        exit 1
    fi
    public=${ready#*public=}
    public=${public%% *}
}

# run NAME COMMAND …: a driver's checks, each with the driver's name before it.
run() {
    local name=$1 code
    shift
    echo "-- $name"
    timeout 180 "$@"
    code=$?
    # A driver that ends badly without naming a check has failed one.
    [ "$code" -eq 0 ] || { failed=1; echo "-- $name ended with code $code"; }
}

demo=$homes/demo
start "$demo"
for era in legacy auto; do
    run "python, $era" "$clients/python/bin/python" tests/clients/python/drive.py "$programs" "$demo" "$era"
    run "node, $era" env CLIENTS_NODE_MODULES="$clients/node/node_modules" \
        node tests/clients/node/drive.mjs "$programs" "$demo" "$era"
done
run 'python, an old library' "$clients/python-old/bin/python" tests/clients/python/drive_old.py "$programs" "$demo"

# Without a relay, comms-mcp starts one.
run 'python, no relay runs' "$clients/python/bin/python" tests/clients/python/drive.py "$programs" "$homes/autostart" auto

url=https://relay.example
account=(TWILIO_ACCOUNT_SID=AC00000000000000000000000000000001 TWILIO_AUTH_TOKEN=0123456789abcdef0123456789abcdef)
start "$homes/live" COMMS_MODE=live COMMS_PUBLIC__URL=$url TWILIO_PHONE_NUMBER=+14155550100 \
    COMMS_TWILIO__BASE_URL=http://127.0.0.1:9 "${account[@]}"
run 'signed webhooks' env "${account[@]}" "$clients/python/bin/python" tests/clients/python/sign_webhooks.py "http://$public" "$url" default

exit "$failed"
