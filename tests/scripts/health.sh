#!/bin/sh
# Wait until a service is healthy.
set -eu
docker run -d --name web --network none --health-cmd 'test -e /up' --health-interval 1h --health-retries 1 "$IMAGE" sh -c '
	sleep 0.5; touch /up; while :; do sleep 0.1; done' >/dev/null
tries=0
until docker healthcheck run web >/dev/null 2>&1; do
	tries=$((tries + 1))
	[ "$tries" -lt 100 ] || { echo "never healthy"; exit 1; }
	sleep 0.1
done
docker inspect --format '{{.State.Health.Status}} {{.State.Health.FailingStreak}}' web
docker inspect --format '{{json .Config.Healthcheck.Test}}' web
docker exec web rm /up
docker healthcheck run web >/dev/null 2>&1 || echo "unhealthy: $?"
docker inspect --format '{{.State.Health.Status}}' web
docker rm -f -t 0 web >/dev/null
