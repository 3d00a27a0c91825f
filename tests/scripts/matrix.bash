#!/bin/bash
# A build matrix: all at once, each with its own status, and one summary.
set -uo pipefail
declare -A pids
for version in 1 2 3 4 5 6 7 8; do
	docker run --rm --name "job-$version" --network none -e VERSION="$version" "$IMAGE" \
		sh -c 'sleep 0.2; echo "built $VERSION"; exit $((VERSION % 3))' >"$TMPDIR/log-$version" 2>&1 &
	pids[$version]=$!
done
failed=0
for version in 1 2 3 4 5 6 7 8; do
	wait "${pids[$version]}"
	status=$?
	echo "version $version: $status: $(cat "$TMPDIR/log-$version")"
	[ "$status" -eq 0 ] || failed=$((failed + 1))
done
echo "$failed failed"
docker ps -a --format '{{.Names}}' | grep -c job- || true
