#!/bin/sh
# A CI step must fail when its container fails, with the container's own status.
set -eu
status() { "$@" >/dev/null 2>&1 && echo "0: $1 $2" || echo "$?: $1 $2"; }
run() { docker run --rm --network none "$IMAGE" "$@"; }
status run true
status run false
status run sh -c 'exit 42'
status run sh -c 'kill -TERM $$; sleep 1; exit 3'
status run /no/such/program
status run nosuchprogram
status run /etc
status docker run --rm --no-such-flag "$IMAGE"
docker run -d --name keep --network none "$IMAGE" sh -c 'trap "exit 7" TERM; while :; do sleep 0.1; done' >/dev/null
status docker exec keep sh -c 'exit 9'
docker exec keep nosuchprogram >/dev/null 2>&1 || echo "exec: $?"
docker exec keep /etc >/dev/null 2>&1 || echo "exec: $?"
docker stop -t 5 keep
docker wait keep
docker inspect -f '{{.State.ExitCode}} {{.State.Running}}' keep
docker rm keep
# A pipeline's first failure is the step's.
set +e
(docker run --rm --network none "$IMAGE" sh -c 'echo partial; exit 5') | cat
(
	set -e
	docker run --rm --network none "$IMAGE" false
	echo "not reached"
)
echo "step: $?"
