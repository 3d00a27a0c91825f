#!/bin/sh
# An image made by hand from a container.
set -eu
docker run --name made --network none "$IMAGE" sh -c 'mkdir /app; echo "echo from the image: \$1" > /app/go; rm /etc/hostname 2>/dev/null; exit 0'
docker diff made | grep /app | sort
docker commit -q --change 'CMD ["sh", "/app/go", "default"]' --change 'ENV MODE=fast' --change 'LABEL a=b' made local/made:1 >/dev/null
docker run --rm --network none local/made:1
docker run --rm --network none local/made:1 sh -c 'echo $MODE'
docker inspect --type image -f '{{index .Config.Labels "a"}}' local/made:1
docker images -q local/made | wc -l | tr -d ' '
docker export made | tar tf - | grep -c '^app/go$'
docker rm made
docker rmi local/made:1 >/dev/null && echo removed
