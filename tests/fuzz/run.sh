#!/usr/bin/env bash
# Runs every fuzz target for so many seconds: tests/fuzz/run.sh [SECONDS] [TARGET...]
# What a target finds stands in tests/fuzz/artifacts/TARGET, what it learnt in tests/fuzz/corpus/TARGET.
set -euo pipefail
cd "$(dirname "$0")"

seconds="${1:-60}"
shift || true
# libFuzzer and the sanitizer need compiler flags that stable Rust keeps for nightly.
export RUSTC_BOOTSTRAP=1
host="$(rustc -vV | sed -n 's/^host: //p')"

targets=("$@")
if [ "${#targets[@]}" -eq 0 ]; then
    mapfile -t targets < <(cargo fuzz list --fuzz-dir .)
fi
cargo fuzz build --fuzz-dir . --target "$host"

# A vector is a file of lines `name: value`, an empty line, and the bytes in hexadecimal.
if [ -d ../vectors ] && command -v python3 > /dev/null; then
    python3 - <<'END'
import pathlib, re

targets = {"manifest": "manifest", "report": "report", "fragment": "frame", "envelope": "frame", "preamble": "frame", "piece": "frame",
           "manifest-chunk": "frame", "varint": "frame"}
for file in pathlib.Path("../vectors").glob("*.txt"):
    head, _, body = file.read_text().partition("\n\n")
    kind = re.search(r"^type: (\S+)$", head, re.M)
    body = "".join(body.split())
    target = targets.get(kind.group(1)) if kind else None
    if target and re.fullmatch(r"([0-9a-f]{2})+", body):
        folder = pathlib.Path("seeds") / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file.stem).write_bytes(bytes.fromhex(body))
END
fi

failed=()
for target in "${targets[@]}"; do
    mkdir -p "corpus/$target"
    dirs=("corpus/$target")
    # The test vectors of the same format, good and bad; libFuzzer only reads the second folder.
    if [ -d "seeds/$target" ]; then
        dirs+=("seeds/$target")
    fi
    echo "== fuzz $target, $seconds s"
    if ! cargo fuzz run --fuzz-dir . --target "$host" "$target" "${dirs[@]}" -- \
        -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=8192 -len_control=0 -print_final_stats=1 \
        2> "corpus/$target.log"; then
        failed+=("$target")
        tail -n 60 "corpus/$target.log" >&2
    fi
    grep -E 'stat::number_of_executed_units|stat::peak_rss_mb' "corpus/$target.log" || true
done
if [ "${#failed[@]}" -gt 0 ]; then
    echo "failed: ${failed[*]}; the inputs are in tests/fuzz/artifacts" >&2
    exit 1
fi
