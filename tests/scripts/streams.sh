#!/bin/sh
# Filters in pipelines, streams kept apart, loops that read.
set -eu
run() { docker run --rm --network none "$@"; }
printf 'b\na\nc\n' | run -i "$IMAGE" sort
run "$IMAGE" sh -c 'echo out; echo err >&2' 2>/dev/null
run "$IMAGE" sh -c 'echo out; echo err >&2' 2>&1 >/dev/null
run "$IMAGE" yes | head -n 2
printf '1\n2\n3\n' | while read -r n; do
	run "$IMAGE" echo "item $n"
done
text=$(run "$IMAGE" printf 'no newline')
echo "[$text]"
run "$IMAGE" sh -c 'cat; echo end' </dev/null
run -i "$IMAGE" sh -s one two <<'INNER'
echo "$# arguments: $1 $2"
INNER
run "$IMAGE" head -c 3000000 /dev/zero | wc -c | tr -d ' '
run -i "$IMAGE" cat <"$0" | cmp - "$0" && echo same
