#!/bin/bash
# A database whose data outlives its container: upgrade, backup, restore, and nothing left at the end.
set -euo pipefail
cd "$TMPDIR"
docker volume create --label project=shop pgdata
trap 'docker rm -f db >/dev/null 2>&1 || true; docker volume rm pgdata backup >/dev/null 2>&1 || true' EXIT

start() {
    docker run -d --name db --network none -v pgdata:/var/lib/db "$IMAGE" \
        sh -c "echo version $1 >>/var/lib/db/log; trap 'exit 0' TERM; while :; do sleep 0.1; done" >/dev/null
}
start 1
until docker exec db grep -q 'version 1' /var/lib/db/log; do sleep 0.05; done
docker volume rm pgdata 2>/dev/null || echo "in use"
docker stop -t 5 db
docker rm -v db
docker volume ls -q
start 2
until docker exec db grep -q 'version 2' /var/lib/db/log; do sleep 0.05; done
docker exec db cat /var/lib/db/log
docker ps --filter volume=pgdata --format '{{.Names}}'
docker inspect db --format '{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.RW}}{{end}}'

# Backup by a second container, through a pipe and into another volume.
docker run --rm --network none --volumes-from db:ro "$IMAGE" tar cf - -C /var/lib/db . >backup.tar
docker run --rm -i --network none -v backup:/restore "$IMAGE" tar xf - -C /restore <backup.tar
docker run --rm --network none -v backup:/r:ro "$IMAGE" sh -c 'cat /r/log; touch /r/x 2>/dev/null || echo read-only'
docker cp db:/var/lib/db/log log && wc -l <log

docker volume ls -q --filter label=project=shop
docker volume ls -q --filter name=back
docker volume inspect pgdata --format '{{.Name}} {{.Driver}} {{index .Labels "project"}}'
docker rm -f db >/dev/null
docker volume ls -q --filter dangling=true | sort
# Volumes without a name go with --rm, and with rm -v.
docker run --rm --network none -v /scratch "$IMAGE" touch /scratch/x
docker create --name scratch -v /scratch "$IMAGE" true >/dev/null
docker volume ls -q | wc -l
docker rm -v scratch
docker volume rm backup pgdata
docker volume rm pgdata 2>/dev/null || echo "gone: $?"
docker volume ls -q | wc -l
