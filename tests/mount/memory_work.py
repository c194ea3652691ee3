#!/usr/bin/env python3
"""Work that takes memory, while the daemon's resident memory is sampled.

memory_work.py PID MOUNT MAX_BYTES MIB FILES: writes MIB (half of it noise), reads it twice, makes FILES
small files, lists and reads them; says the highest resident size of each step, and fails when that
is more than 1.1 times MAX_BYTES."""
import os
import sys
import threading
import time

pid, mount, limit, mib, files = (sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]))
peak = {}
step = "start"
stop = False


def resident():
    out = {}
    with open(f"/proc/{pid}/status") as f:
        for line in f:
            if line.startswith(("VmRSS:", "RssAnon:", "RssFile:", "RssShmem:")):
                name, kib = line.split()[:2]
                out[name[:-1]] = int(kib) << 10
    return out


def sample():
    while not stop:
        now = resident()
        if now.get("VmRSS", 0) > peak.get(step, {}).get("VmRSS", -1):
            peak[step] = now
        time.sleep(0.01)


def write():
    noise = os.urandom(1 << 20)
    text = b"".join(b"%012d\n" % i for i in range(90000))[: 1 << 20]
    text += bytes((1 << 20) - len(text))
    for n in range(4):
        with open(f"{mount}/big{n}", "wb") as f:
            for i in range(mib // 4):
                f.write(noise if i % 2 else text)


def forget(fd):
    """Have the kernel drop its pages, so that the daemon is asked."""
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


def read():
    for n in range(4):
        with open(f"{mount}/big{n}", "rb") as f:
            forget(f.fileno())
            while f.read(1 << 20):
                pass


def read_at_random():
    size = mib // 4 << 20
    for n in range(4):
        fd = os.open(f"{mount}/big{n}", os.O_RDONLY)
        forget(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
        for i in range(500):
            os.pread(fd, 4096, i * 7919 * 4096 % size)
        os.close(fd)


def make_small():
    for d in range(files // 1000):
        os.mkdir(f"{mount}/d{d}")
        for i in range(1000):
            with open(f"{mount}/d{d}/f{i}", "wb") as f:
                f.write(b"%d" % i)


def read_small():
    for d in range(files // 1000):
        for e in os.scandir(f"{mount}/d{d}"):
            e.stat()


thread = threading.Thread(target=sample)
thread.start()
try:
    for job in (write, read, read_at_random, make_small, read_small, write, read):
        step = job.__name__
        job()
finally:
    stop = True
    thread.join()
bad = False
for name, r in peak.items():
    part = r["VmRSS"] / limit
    bad |= part > 1.1
    print(f"{name}: {part:.2f} of memory= ({', '.join(f'{k} {v >> 20} MiB' for k, v in r.items())})")
sys.exit(bad)
