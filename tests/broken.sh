#!/usr/bin/env bash
# Builds engines that are broken on purpose and shows that the simulation finds each: tests/broken.sh [SEEDS [CARGO OPTION...]]
# SEEDS are as after --seeds, 1..1000 if not given. With --profile broken a build takes longer and a seed a third of the time.
set -eu
cd "$(dirname "$0")/.."

seeds="${1:-1..1000}"
shift || true
missed=0
for broken in break-ack-before-persist break-forget-dedup break-reuse-nonce; do
    cargo build --locked --quiet --features "$broken" "$@"
    found="$(cargo run --locked --quiet --features "$broken" "$@" -- sim run chaos --seeds "$seeds" --fail-fast 2> /dev/null \
        | sed -n 's/^  seed /found by seed /p' | head -n 1)"
    echo "$broken: ${found:-NOT found in seeds $seeds}"
    [ -n "$found" ] || missed=1
done
exit "$missed"
