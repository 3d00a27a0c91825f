#!/bin/sh
# ps, inspect, filters and formats, as scripts read them.
set -eu
docker run -d --name one --label tier=web --label env=test --network none "$IMAGE" sleep 60 >/dev/null
docker create --name two --label tier=db --network none -e A=1 "$IMAGE" sh -c 'exit 3' >/dev/null
docker start -a two || echo "two: $?"
docker ps --format '{{.Names}}'
docker ps -a --format '{{.Names}}' | sort
docker ps -aq | wc -l | tr -d ' '
docker ps -aq --no-trunc | head -n 1 | wc -c | tr -d ' '
docker ps -a --filter label=tier=db --format '{{.Names}}'
docker ps -a --filter status=exited --filter exited=3 --format '{{.Names}}'
docker ps -a --filter name=on --format '{{.Names}}'
docker ps -a --filter status=running -q | wc -l | tr -d ' '
docker inspect -f '{{.Name}}' one | tr -d /
docker inspect -f '{{.State.Status}} {{.State.Running}} {{.State.ExitCode}}' one two
docker inspect -f '{{index .Config.Labels "tier"}} {{len .Config.Labels}}' one
docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' two | grep '^A='
docker inspect -f '{{json .Config.Cmd}}' two
docker inspect --type container one | grep -c '"Id"'
docker inspect nothere >/dev/null 2>&1 || echo "missing: $?"
docker rename two three
docker inspect -f '{{.State.ExitCode}}' three
docker rm three
docker rm one 2>/dev/null || echo "running: $?"
docker rm -f -t 0 one
docker rm one 2>/dev/null || echo "gone: $?"
docker container exists one || echo "exists: $?"
