#!/bin/sh
# Files into a container, work, files out of it.
set -eu
cd "$TMPDIR"
mkdir -p src/sub && echo hello >src/main && echo deep >src/sub/file && ln -s main src/link
docker create --name build --network none -w /tmp "$IMAGE" sh -c 'tr a-z A-Z < src/main > out; ls src/sub; readlink src/link' >/dev/null
docker cp src build:/tmp
docker start -a build
docker cp build:/tmp/out .
cat out
docker cp build:/tmp/src/sub copied && cat copied/file
docker cp build:/tmp/src/. flat && ls flat
docker cp build:/tmp/out - | tar tf -
tar cf - src | docker cp - build:/var
docker cp build:/var/src/main - | tar xOf -
docker cp build:/no/such/file . 2>/dev/null || echo "missing: $?"
docker cp nothere:/etc . 2>/dev/null || echo "no container: $?"
docker diff build | grep -c '/tmp/out'
docker rm build
