#!/bin/bash
# Compares runr with podman (if installed) and with a shell pipeline, side by side in one run, and prints a markdown table.
#
#   bench/run.sh [all | PART…]    parts: latency detached exec parallel pull lists monitor log end attach; all without an argument
#
# The table is the one in docs/performance.md.
#
# To be run as an unprivileged user with subordinate ids, on a machine that does nothing else. Needs python3, skopeo and
# docker-registry; uses hyperfine if it is there. RUNR names the executable (default: the one in PATH).
set -euo pipefail
here=$(cd -- "$(dirname -- "$0")" && pwd -P)

# --- what the parts share: a work folder, both programs with stores of their own in it, a registry, the table's rows ---

RUNR=${RUNR:-$(command -v runr)} || { echo 'bench: no runr in PATH, and RUNR is not set' >&2; exit 2; }
work=$(mktemp -d "${TMPDIR:-/var/tmp}/runr-bench.XXXXXX")
: >"$work/rows"
export XDG_RUNTIME_DIR=$work/run
mkdir -m 0700 "$XDG_RUNTIME_DIR"

runr() { "$RUNR" --root "$work/runr" "$@"; }
have_podman=no
if command -v podman >/dev/null; then have_podman=yes; fi
# runc where it is installed: crun refuses hosts with both cgroup versions.
podman_flags=(--root "$work/podman" --runroot "$work/podman-run" --cgroup-manager cgroupfs)
if command -v runc >/dev/null; then podman_flags+=(--runtime runc); fi
podman() { command podman "${podman_flags[@]}" "$@" 2> >(grep -v level=warning >&2); }

finish() {
    [ -z "${registry_pid:-}" ] || kill "$registry_pid" 2>/dev/null || true
    runr rm -f -a >/dev/null 2>&1 || true
    "$RUNR" __rmtree "$work/runr" "$work/podman" 2>/dev/null || true
    if [ $have_podman = yes ]; then command podman unshare rm -rf -- "$work" 2>/dev/null || true; fi
    rm -rf -- "$work"
}
trap finish EXIT

# row WHAT RUNR PODMAN OTHER: one line of the table.
row() { printf '| %s | %s | %s | %s |\n' "$1" "$2" "${3:-–}" "${4:-–}" | tee -a "$work/rows" >&2; }

# median SECONDS…
median() { printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

# seconds COMMAND…: the wall time of a command whose output is thrown away.
seconds() {
    local begin=$EPOCHREALTIME
    "$@" >/dev/null || { echo "bench: failed: $*" >&2; return 1; }
    awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.4f\n", b - a }'
}

# ms SECONDS: for people.
ms() { awk -v s="$1" 'BEGIN { printf (s < 0.1 ? "%.1f ms" : "%.0f ms"), s * 1000 }'; }
us() { awk -v s="$1" 'BEGIN { printf "%.0f µs", s * 1000000 }'; }
sec() { awk -v s="$1" 'BEGIN { printf "%.1f s", s }'; }

# median_ms RUNS COMMAND…: the median of many runs, by hyperfine if it is there.
median_ms() {
    local runs=$1
    shift
    if command -v hyperfine >/dev/null; then
        hyperfine -N --warmup 3 --runs "$runs" --export-json "$work/hyperfine.json" "$*" >/dev/null 2>&1 ||
            { echo "bench: failed: $*" >&2; return 1; }
        ms "$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["results"][0]["median"])' "$work/hyperfine.json")"
    else
        local times=()
        for _ in 1 2 3; do "$@" >/dev/null; done
        for _ in $(seq "$runs"); do times+=("$(seconds "$@")"); done
        ms "$(median "${times[@]}")"
    fi
}

start_registry() {
    local port
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    registry=127.0.0.1:$port
    printf 'version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage:\n  filesystem: {rootdirectory: %s}\nhttp:\n  addr: %s\n' \
        "$work/registry" "$registry" >"$work/registry.yml"
    docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
    registry_pid=$!
    python3 "$here/make_image.py" wait "$registry"
}

# upload LAYOUT:TAG NAME: from a layout folder into the registry.
upload() { skopeo copy -q --insecure-policy --dest-tls-verify=false "oci:$1" "docker://$registry/$2"; }

# The small image, made once, in both stores.
small_image() {
    small=$registry/busybox
    [ ! -e "$work/small" ] || return 0
    python3 "$here/make_image.py" small "$work/small"
    upload "$work/small:latest" busybox:latest
    runr pull -q "$small" >/dev/null
    if [ $have_podman = yes ]; then podman pull -q --tls-verify=false "$small" >/dev/null; fi
}

# An ext4 without a journal (a virtual machine's, now and then) looks through all inodes that were deleted in the last
# minutes for each new file. What one round deletes then slows down the next one, whoever's it is.
has_no_journal() {
    local source type
    read -r source type < <(findmnt -n -o SOURCE,FSTYPE -T "$work") || return 1
    [ "$type" = ext4 ] && ! compgen -G "/proc/fs/jbd2/${source##*/}-*" >/dev/null
}

machine() {
    printf 'Machine: %s, %s cores, %s of memory, Linux %s, %s; %s' \
        "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1)" "$(nproc)" \
        "$(awk '/MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)" "$(uname -r | cut -d- -f1)" \
        "$(findmnt -n -o FSTYPE -T "$work")$(if has_no_journal; then echo ' without a journal'; fi)" "$(runr --version)"
    if [ $have_podman = yes ]; then printf ', %s' "$(command podman --version)"; fi
    echo "."
}

# --- the parts ---------------------------------------------------------------------------------------------------------

# How long a container that does nothing takes, from the command to its end.
part_latency() {
    local ours theirs=''
    small_image
    ours=$(median_ms 100 "$RUNR" --root "$work/runr" run --rm --network none "$small" true)
    if [ $have_podman = yes ]; then
        theirs=$(median_ms 20 podman "${podman_flags[@]}" run --rm --network none "$small" true)
    fi
    row "\`run --rm --network none busybox true\`, median" "$ours" "$theirs"
}

part_detached() {
    local ours theirs=''
    small_image
    ours=$(median_ms 100 "$RUNR" --root "$work/runr" run -d --rm --network none "$small" true)
    if [ $have_podman = yes ]; then
        theirs=$(median_ms 20 podman "${podman_flags[@]}" run -d --rm --network none "$small" true)
    fi
    row "\`run -d --rm --network none busybox true\`, median" "$ours" "$theirs"
}

# How long one more command in a running container takes.
part_exec() {
    local ours theirs=''
    small_image
    runr run -d --name joined --network none "$small" sleep 600 >/dev/null
    ours=$(median_ms 100 "$RUNR" --root "$work/runr" exec joined true)
    runr rm -f joined >/dev/null
    if [ $have_podman = yes ]; then
        podman run -d --name joined --network none "$small" sleep 600 >/dev/null
        theirs=$(median_ms 20 podman "${podman_flags[@]}" exec joined true)
        podman rm -f -t 0 joined >/dev/null
    fi
    row "\`exec … true\` in a running container, median" "$ours" "$theirs"
}

# at_once COMMAND…: 50 of them; prints the wall time until the last has ended, and how many failed.
at_once() {
    local begin=$EPOCHREALTIME bad=0 pids=() pid
    for _ in $(seq 50); do
        "$@" >/dev/null 2>>"$work/parallel.log" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid" || bad=$((bad + 1)); done
    awk -v a="$begin" -v b="$EPOCHREALTIME" -v bad="$bad" 'BEGIN { printf "%.2f s, %d failed\n", b - a, bad }'
}

part_parallel() {
    local ours theirs=''
    small_image
    ours=$(at_once "$RUNR" --root "$work/runr" run --rm --network none "$small" true)
    if [ $have_podman = yes ]; then theirs=$(at_once podman run --rm --network none "$small" true); fi
    row '50 of them at once' "$ours" "$theirs"
}

# A pull of a big image into an empty store, against podman and against one `curl | gzip -d | tar x` per layer at once.
pull_ours() { "$RUNR" --root "$work/pulled" pull -q "$registry/big:1"; }
pull_theirs() { podman pull -q --tls-verify=false "$registry/big:1"; }
pull_by_shell() {
    local digest n=0 pids=()
    for digest in $(python3 "$here/make_image.py" layers "$work/big"); do
        n=$((n + 1))
        mkdir -p "$work/shell/$n"
        curl -s "http://$registry/v2/big/blobs/$digest" | gzip -d | tar -x -C "$work/shell/$n" &
        pids+=($!)
    done
    # The registry is a child of this shell too, so not all children are waited for.
    wait "${pids[@]}"
}
forget_pulled() {
    rm -rf -- "$work/shell"
    "$RUNR" __rmtree "$work/pulled"
    if [ $have_podman = yes ]; then podman rmi -f "$registry/big:1" >/dev/null 2>&1 || true; fi
    # What is still to be written of one must not slow down the next.
    sync
    sleep 3
}

part_pull() {
    local our_times=() their_times=() shell_times=() their_time='' their_peak='' peak
    python3 "$here/make_image.py" big "$work/big" >"$work/big.txt"
    upload "$work/big:1" big:1
    for _ in 1 2 3; do
        forget_pulled
        our_times+=("$(seconds pull_ours)")
        forget_pulled
        shell_times+=("$(seconds pull_by_shell)")
        forget_pulled
        if [ $have_podman = yes ]; then their_times+=("$(seconds pull_theirs)"); fi
    done
    forget_pulled
    peak=$(python3 "$here/peak.py" "$RUNR" --root "$work/pulled" pull -q "$registry/big:1")
    if [ $have_podman = yes ]; then
        forget_pulled
        their_time=$(sec "$(median "${their_times[@]}")")
        their_peak=$(python3 "$here/peak.py" podman "${podman_flags[@]}" pull -q --tls-verify=false "$registry/big:1")
    fi
    forget_pulled
    row "pull of $(cat "$work/big.txt"), median of 3" "$(sec "$(median "${our_times[@]}")")" "$their_time" \
        "$(sec "$(median "${shell_times[@]}")") (\`curl \\| gzip -d \\| tar x\` per layer, at once)"
    row '… peak memory of its processes' "$peak" "$their_peak"
}

# `images` with 500 of them; `ps` with 1,000 containers, of which 50 run.
part_lists() {
    local ours_images ours_ps ours_all their_images='' their_all=''
    small_image
    python3 "$here/make_image.py" many "$work/many" 500
    seq 500 | xargs -P 4 -I{} skopeo copy -q --insecure-policy --dest-tls-verify=false \
        "oci:$work/many:t{}" "docker://$registry/many:t{}"
    runr pull -q --all-tags "$registry/many" >/dev/null
    for _ in $(seq 950); do runr create --network none "$small" true >/dev/null; done
    for _ in $(seq 50); do runr run -d --network none "$small" sleep 3600 >/dev/null; done
    ours_images=$(median_ms 50 "$RUNR" --root "$work/runr" images)
    ours_ps=$(median_ms 50 "$RUNR" --root "$work/runr" ps)
    ours_all=$(median_ms 50 "$RUNR" --root "$work/runr" ps -a)
    runr rm -f -a -t 0 >/dev/null
    if [ $have_podman = yes ]; then
        # Not --all-tags: podman 4 forgets --tls-verify there.
        for n in $(seq 500); do podman pull -q --tls-verify=false "$registry/many:t$n" >/dev/null; done
        for _ in $(seq 1000); do podman create --network none "$small" true >/dev/null; done
        their_images=$(median_ms 10 podman "${podman_flags[@]}" images)
        their_all=$(median_ms 10 podman "${podman_flags[@]}" ps -a)
    fi
    row "\`images\` with 500 images" "$ours_images" "$their_images"
    row "\`ps\` with 1,000 containers, 50 of them running" "$ours_ps"
    row "\`ps -a\` with 1,000 containers" "$ours_all" "$their_all"
}

# The private memory of the process that watches an idle container (podman: conmon).
private() { awk '/^Private_/ { sum += $2 } END { printf "%.2f MB", sum / 1024 }' "/proc/$1/smaps_rollup"; }
parent() { awk '/^PPid/ { print $2 }' "/proc/$1/status"; }

part_monitor() {
    local id ours theirs=''
    small_image
    runr run --name idle --network none "$small" sleep 600 &
    sleep 1
    ours=$(private "$(parent "$(runr inspect --format '{{.State.Pid}}' idle)")")
    runr rm -f idle >/dev/null
    wait $! || true
    if [ $have_podman = yes ]; then
        id=$(podman run -d --network none "$small" sleep 600)
        sleep 1
        theirs=$(private "$(podman inspect --format '{{.State.ConmonPid}}' "$id")")
        podman rm -f "$id" >/dev/null
    fi
    row 'monitor of an idle container, private memory' "$ours" "$theirs"
}

# 1 GB of lines of about 100 bytes through a container into its log, until `wait` says that it has ended.
through_log() {
    local name=$1
    shift
    "$@" rm -f "$name" >/dev/null 2>&1 || true
    "$@" create --name "$name" --network none --log-driver k8s-file -v "$work/lines:/lines:ro" "$small" \
        sh -c 'for n in 1 2 3 4 5 6 7 8 9 10; do cat /lines; done' >/dev/null
    # So that what the last one left to be written does not slow this one down.
    sync
    local begin=$EPOCHREALTIME
    "$@" start "$name" >/dev/null
    "$@" wait "$name" >/dev/null
    awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.4f\n", b - a }'
    "$@" rm -f "$name" >/dev/null
}

rate() { awk -v s="$1" 'BEGIN { printf "%.0f MB/s", 1000 / s }'; }

part_log() {
    local ours=() theirs='' their_times=()
    small_image
    python3 -c 'import sys; line = b"2026-01-01 an ordinary line of a log, with a few words, id=0123456789abcdef and a number 4242 ..\n"
sys.stdout.buffer.write(line * (100_000_000 // len(line)))' >"$work/lines"
    for _ in 1 2 3; do
        ours+=("$(through_log ours runr)")
        if [ $have_podman = yes ]; then their_times+=("$(through_log theirs podman)"); fi
    done
    if [ $have_podman = yes ]; then theirs=$(rate "$(median "${their_times[@]}")"); fi
    row '1 GB of output in lines of 98 bytes into the log, median of 3' "$(rate "$(median "${ours[@]}")")" "$theirs"
}

# The end of containers: a stop of one that obeys, the removal of a hundred that run.
obedient='trap "exit 0" TERM; while :; do sleep 1 & wait $!; done'

# stop_seconds COMMAND…: median time of `COMMAND stop` for a container that ends at once when it is told to.
stop_seconds() {
    local n times=()
    for n in $(seq 10); do
        "$@" run -d --name "stop$n" --network none "$small" sh -c "$obedient" >/dev/null
        sleep 0.3
        times+=("$(seconds "$@" stop "stop$n")")
        "$@" rm "stop$n" >/dev/null
    done
    median "${times[@]}"
}

# remove_seconds COMMAND…: time of `COMMAND rm -f` for a hundred that run.
remove_seconds() {
    local n names=()
    for n in $(seq 100); do
        "$@" run -d --name "rm$n" --network none "$small" sleep 600 >/dev/null
        names+=("rm$n")
    done
    seconds "$@" rm -f -t 0 "${names[@]}"
}

part_end() {
    local ours theirs=''
    small_image
    ours=$(ms "$(stop_seconds runr)")
    if [ $have_podman = yes ]; then theirs=$(ms "$(stop_seconds podman)"); fi
    row "\`stop\` of a container that obeys at once" "$ours" "$theirs"
    ours=$(sec "$(remove_seconds runr)")
    if [ $have_podman = yes ]; then theirs=$(sec "$(remove_seconds podman)"); fi
    row "\`rm -f\` of 100 that run" "$ours" "$theirs"
}

# The way from a client's stdin through an attached container and back, the client's start and the container's end included.
# attach_seconds COMMAND…: to the first echo, and the round trip of a further line; see attach.py.
attach_seconds() {
    "$@" run -d -i --name echo --network none "$small" cat >/dev/null
    sleep 0.5
    python3 "$here/attach.py" 30 "$@" attach --sig-proxy=false echo
    "$@" rm -f echo >/dev/null
}

# Not podman's: a container of it that nobody is attached to has no input (`run -d -i … cat` ends at once).
part_attach() {
    local first further
    small_image
    read -r first further < <(attach_seconds "$RUNR" --root "$work/runr")
    row "\`attach\`, from the command to the echo of the first line, median" "$(ms "$first")"
    row 'round trip of a further line through an attached client, median' "$(us "$further")"
}

# --- all of it ---------------------------------------------------------------------------------------------------------

parts=("$@")
[ "${*:-all}" != all ] || parts=(latency detached exec parallel pull lists monitor log end attach)
if has_no_journal; then echo "bench: $work is on an ext4 without a journal, which falsifies much: set TMPDIR" >&2; fi
start_registry
for part in "${parts[@]}"; do
    echo "bench: $part" >&2
    "part_$part"
done
machine
echo
echo '| what | runr | podman | other |'
echo '|---|---:|---:|---:|'
cat "$work/rows"
