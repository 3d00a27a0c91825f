#!/bin/bash
# A service in the background, tests against it, and a teardown that always happens.
set -euo pipefail
cleanup() {
	status=$?
	docker logs db | tail -n 1
	docker rm -f db >/dev/null
	echo "teardown after $status"
}
trap cleanup EXIT
docker run -d --name db --network none -e NAME=orders "$IMAGE" sh -c '
	sleep 0.3
	mkdir -p /data && echo "1 apples" > "/data/$NAME" && touch /ready
	echo "ready for connections"
	trap "echo stopped; exit 0" TERM
	while :; do sleep 0.1; done' >/dev/null
for _ in $(seq 100); do
	docker exec db test -e /ready && break
	sleep 0.1
done
docker exec db cat /data/orders
echo "2 pears" | docker exec -i db sh -c 'cat >> /data/$NAME'
docker exec -e LIMIT=1 -w /data db sh -c 'tail -n "$LIMIT" orders; pwd'
docker exec db sh -c 'grep -c . /data/orders'
docker exec db sh -c 'grep -q plums /data/orders' || echo "no plums: $?"
docker ps --filter name=db --format '{{.Names}}'
[ "$(docker ps -q | wc -l)" -eq 1 ] && echo "one runs"
docker stop -t 5 db
exit 4
