#!/usr/bin/env python3
"""How fast an attached client is: attach.py RUNS COMMAND... attach CONTAINER, where the container runs `cat`.

Prints two medians in seconds: from the command's start to the echo of the first line, and the round trip of a further
line. The client is killed afterwards; the container lives on.
"""
import os
import statistics
import sys
import time


def spawn(command):
    stdin, to_client = os.pipe()
    from_client, stdout = os.pipe()
    actions = [
        (os.POSIX_SPAWN_DUP2, stdin, 0),
        (os.POSIX_SPAWN_DUP2, stdout, 1),
    ]
    pid = os.posix_spawnp(command[0], command, os.environ, file_actions=actions)
    os.close(stdin)
    os.close(stdout)
    return pid, to_client, from_client


def echo(to_client, from_client, line):
    os.write(to_client, line)
    got = b""
    while not got.endswith(line):
        piece = os.read(from_client, 4096)
        if not piece:
            sys.exit("attach.py: the client ended without an echo")
        got += piece


def main():
    runs, command = int(sys.argv[1]), sys.argv[2:]
    first, further = [], []
    for _ in range(runs):
        begin = time.perf_counter()
        pid, to_client, from_client = spawn(command)
        echo(to_client, from_client, b"one\n")
        first.append(time.perf_counter() - begin)
        for _ in range(10):
            begin = time.perf_counter()
            echo(to_client, from_client, b"two\n")
            further.append(time.perf_counter() - begin)
        # Its end of file would end `cat`: the client goes first.
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(to_client)
        os.close(from_client)
    print(f"{statistics.median(first):.6f} {statistics.median(further):.6f}")


main()
