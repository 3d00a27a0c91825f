#!/bin/bash
# The whole life of a container, with its id in a variable.
set -euo pipefail
id=$(docker run -d --cidfile "$TMPDIR/cid" --network none "$IMAGE" sh -c 'trap "exit 3" TERM; while :; do sleep 0.1; done')
[ "$id" = "$(cat "$TMPDIR/cid")" ] && echo "id in the file"
[ ${#id} -eq 64 ] && echo "full id"
state() { docker inspect -f '{{.State.Status}}' "$id"; }
state
sleep 0.3
[ "$(docker stop -t 5 "$id")" = "$id" ] && state
docker wait "$id"
[ "$(docker start "$id")" = "$id" ] && state
sleep 0.3
docker restart -t 5 "$id" >/dev/null && state
[ "$(docker kill "$id")" = "$id" ]
docker wait "$id"
state
docker kill "$id" 2>/dev/null || echo "cannot kill: not running"
docker rm "$id" >/dev/null
docker start "$id" 2>/dev/null || echo "cannot start: gone"
docker run -d --rm --name gone --network none "$IMAGE" true >/dev/null
for _ in $(seq 100); do docker container exists gone || break; sleep 0.05; done
docker run --rm --name gone --network none "$IMAGE" echo "the name is free"
docker run -d --name twice --network none "$IMAGE" sleep 60 >/dev/null
docker run -d --name twice --network none "$IMAGE" sleep 60 2>/dev/null || echo "taken: $?"
docker rm -f -t 0 twice
