#!/bin/sh
# --format and --filter of ps, inspect, top and images, as scripts use them; ids, times and paths are taken out.
set -eu
short() { sed -E 's/[0-9a-f]{64}/ID/g; s/[0-9a-f]{12}/ID/g'; }

docker run -d --name web-1 -l app.tier=web -l app.env=test --network none "$IMAGE" sleep 60 >/dev/null
docker run -d --name db --network none -v /tmp:/data:ro --restart on-failure:3 --stop-timeout 2 -u 7:8 "$IMAGE" sh -c 'sleep 60' >/dev/null
docker create --name job -e MODE=fast -w /tmp --entrypoint '["sh","-c"]' --network none "$IMAGE" 'exit 4' >/dev/null
docker create --name web-2 -l app.tier=web --network none "$IMAGE" true >/dev/null

echo '== filters'
docker ps --filter 'name=^web-[0-9]+$' --format '{{.Names}}'
docker ps -a --filter 'name=^(web|db)' --format '{{.Names}}' | sort
docker ps -a --filter label=app.tier=web --filter label=app.env --format '{{.Names}}'
docker ps -a --filter status=created --format '{{.Names}}' | sort
docker ps -a --filter status=running --filter status=created --format '{{.Names}}' | sort
docker ps -a --filter before=job --format '{{.Names}}' | sort
docker ps -a --filter since=job --format '{{.Names}}'
docker ps -aq --filter "id=$(docker inspect -f '{{.Id}}' job)" | short
docker ps -a --filter 'name=[' -q
docker ps --filter status=asleep >/dev/null 2>&1 || echo 'no such status'
docker ps --filter shiny=1 >/dev/null 2>&1 || echo 'no such filter'
docker ps -n 2 --format '{{.Names}}' | sort
docker ps -l --format '{{.Names}}'

echo '== templates'
docker ps -a --filter name=web --format '{{.Names}}:{{.ID}}' | short | sort
docker ps -a --filter name=web-1 --format '{{upper .Names}} {{len .Names}} {{printf "%-8s|" .Names}} {{.Names | title}}'
docker ps -a --filter name=job --format '{{if eq .Names "job"}}yes{{else}}no{{end}} {{join (split .Names "o") "-"}}'
docker ps -a --filter name=job --format '{{with .Names}}{{.}}{{end}} {{/* note */ -}} {{ .ExitCode }} {{.Pid}} {{.Status}}'
docker ps -a --filter name=db --format '{{.Names}}\t{{.State}}' | cut -f 1
docker ps --filter name=nobody --format '{{.Names}}'
docker ps --filter name=nobody -q
docker ps --format '{{.Names' >/dev/null 2>&1 || echo "syntax: $?"
docker ps --format '{{.Shiny}}' >/dev/null 2>&1 || echo "field: $?"
docker ps --format '{{shiny .}}' >/dev/null 2>&1 || echo "function: $?"

echo '== inspect'
docker inspect -f '{{.Path}} {{json .Args}}' job
docker inspect -f '{{json .Config.Cmd}} {{.Config.WorkingDir}}' job
docker inspect -f '{{range .Config.Env}}{{if eq (slice . 0 4) "MODE"}}{{.}}{{end}}{{end}}' job
docker inspect -f '{{range $i, $m := .Mounts}}{{$i}} {{$m.Type}} {{$m.Source}} {{$m.Destination}} {{$m.RW}}{{end}}' db
docker inspect -f '{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}} {{.RestartCount}}' db
docker inspect -f '{{.State.Paused}} {{.State.Restarting}} {{.State.OOMKilled}} {{.State.Dead}} {{.State.Error}}' db
docker inspect -f '{{if gt .State.Pid 0}}has a pid{{end}}' db
docker inspect -f '{{.State.ExitCode}} {{.State.Pid}}' job
docker inspect -f '{{.Config.User}} {{.Config.StopTimeout}} {{.Config.Tty}} {{.Config.OpenStdin}} {{.HostConfig.Privileged}}' db
docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}} {{.HostConfig.AutoRemove}}' db
docker inspect -f '{{index .Config.Labels "app.tier"}} {{index .Config.Labels "none"}}.' web-1
docker inspect -f '{{.HostConfig.NetworkMode}} {{.NetworkSettings.IPAddress}}.{{len .NetworkSettings.Ports}}' db
docker inspect -f '{{.Name}} {{.State.Status}}' web-1 db job | tr -d /
docker inspect -f '{{.Id}}' web-1 | wc -c | tr -d ' '
docker inspect web-1 job | grep -c '^ *"Path"'
docker inspect --format json web-1 | grep -c '"Id"'
docker inspect -s -f '{{.SizeRw}} {{.SizeRootFs}}' web-1 | grep -cE '^[0-9]+ [0-9]+$'
docker inspect -f '{{.State.Shiny}}' web-1 >/dev/null 2>&1 || echo "field: $?"
docker inspect -f '{{.Id' web-1 >/dev/null 2>&1 || echo "syntax: $?"
docker inspect web-1 nobody 2>/dev/null | grep -c '^ *"Path"' || true
docker inspect nobody 2>/dev/null || echo "missing: $?"
docker inspect --type image web-1 >/dev/null 2>&1 || echo "no image: $?"
docker inspect --type container "$IMAGE" >/dev/null 2>&1 || echo "no container: $?"

echo '== processes'
docker top web-1 pid,ppid,user,comm | tr -s ' ' | sed 's/ *$//'
docker top db user group pid args | tr -s ' ' | sed 's/ *$//'
docker top web-1 huser hpid >/dev/null && echo 'host columns'
docker top job >/dev/null 2>&1 || echo "not running: $?"
docker top nobody >/dev/null 2>&1 || echo "missing: $?"

echo '== the rest'
docker container exists db && echo 'db exists'
docker image exists "$IMAGE" && echo 'the image exists'
docker image exists nothing || echo "image: $?"
docker container exists nothing || echo "container: $?"
docker port web-1
docker ps -a --format json | grep -c '"Id"'
docker ps -a --noheading | wc -l | tr -d ' '
docker images --format '{{.Repository}}:{{.Tag}}' | sed 's|.*/||'
docker rm -f -t 0 web-1 web-2 db job >/dev/null
