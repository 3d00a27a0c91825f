#!/bin/sh
# What a container said, after it is gone quiet.
set -eu
docker run -d --name talk --network none "$IMAGE" sh -c '
	for n in 1 2 3 4 5; do echo "line $n"; done; echo "warning: low" >&2; printf "no end"' >/dev/null
docker wait talk
docker logs talk 2>/dev/null
echo
docker logs talk 2>&1 >/dev/null
docker logs talk 2>&1 | grep -c line
docker logs -t talk 2>/dev/null | head -n 1 | sed 's/^20[0-9-]*T[0-9:.]*[Z+][0-9:]* /TIME /'
docker logs --since 1h talk 2>/dev/null | head -n 1
docker logs nothere >/dev/null 2>&1 || echo "missing: $?"
docker start -a talk >/dev/null 2>&1
docker logs talk 2>/dev/null | grep -c '^line' | tr -d ' '
docker run -d --name slow --network none "$IMAGE" sh -c 'for n in 1 2 3; do echo "tick $n"; sleep 0.1; done' >/dev/null
docker logs -f slow
docker logs --tail 2 slow
# podman removes several at once, and prints them as they go.
docker rm talk slow | sort
