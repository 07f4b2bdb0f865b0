#!/usr/bin/env bash
# Measures the release builds of both programs beside the bare limits of this machine: one line per figure. Linux
# only (it reads /proc); takes about three minutes after the build. Let nothing else run meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
# One build for all three, in one folder: the benchmark looks for the programs beside itself.
cargo build --quiet --release --locked --workspace --bin comms-relay --bin comms-mcp --bin bench
ulimit -n "$(ulimit -Hn)"
exec "${CARGO_TARGET_DIR:-target}/release/bench" "$@"
