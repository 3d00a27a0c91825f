#!/bin/bash
# Compares runr with podman (if installed) and with a shell pipeline, side by side in one run, and prints a markdown table.
#
[ "${*:-all}" != all ] || parts=(latency detached parallel pull lists monitor log end attach)
start_registry
for part in "${parts[@]}"; do
    echo "bench: $part" >&2
    "part_$part"
done
machine
echo
echo '| what | runr | podman | other |'
echo '|---|---:|---:|---:|'
cat "$work/rows"
