#!/usr/bin/env python3
"""peak.py COMMAND…: runs a command and prints the largest sum of memory that its processes had at one time.

Memory is the proportional set size: pages shared by several processes count once. Sampled every 20 ms."""
import os
import subprocess
import sys
import time


def descendants(root):
    children = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as f:
                    parent = int(f.read().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo.extend(children.get(pid, []))
    return found


def pss(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
    except (OSError, StopIteration):
        # Ended meanwhile, or of another user id: counted by what everybody may read.
        try:
            with open(f"/proc/{pid}/status") as f:
                return next((int(line.split()[1]) for line in f if line.startswith("RssAnon:")), 0)
        except OSError:
            return 0


process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
peak = 0
while process.poll() is None:
    peak = max(peak, sum(pss(pid) for pid in descendants(process.pid)))
    time.sleep(0.02)
if process.returncode != 0:
    sys.exit(f"failed: {sys.argv[1:]}")
print(f"{peak / 1024:.0f} MB")
