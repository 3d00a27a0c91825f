#!/bin/sh
# Files into a container, work, files out of it.
set -eu
cd "$TMPDIR"
mkdir -p src/sub && echo hello >src/main && echo deep >src/sub/file && ln -s main src/link
docker create --name build --network none -w /work "$IMAGE" sh -c 'tr a-z A-Z < src/main > out; ls src/sub; readlink src/link' >/dev/null
docker cp src build:/work
docker start -a build
docker cp build:/work/out .
cat out
docker cp build:/work/src/sub copied && cat copied/file
docker cp build:/work/src/. flat && ls flat
docker cp build:/work/out - | tar tf -
tar cf - src | docker cp - build:/tmp
docker cp build:/tmp/src/main - | tar xOf -
docker cp build:/no/such/file . 2>/dev/null || echo "missing: $?"
docker cp nothere:/etc . 2>/dev/null || echo "no container: $?"
docker diff build | grep -c '/work/out'
docker rm build
