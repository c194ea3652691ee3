#!/usr/bin/env python3
"""Reads that come again, past the kernel's page cache.

cache_work.py MOUNT MIB: writes a file of MIB, reads blocks of it by Zipf's law (exponent 1.5: of 4,096 tiles, the 160
that are read most, 20 MiB, get 95 of 100 reads), then all of it in order, then by Zipf's law again; says the hit rates by
.stats.json, and fails when that is below 0.9, or the reading in order costs more than 0.06 of it."""
import bisect
import itertools
import json
import mmap
import os
import random
import sys

mount, mib = sys.argv[1], int(sys.argv[2])
path = f"{mount}/big"
TILE = 128 << 10  # what the cache holds at least of an extent (codec's tiles)
nr = mib * (1 << 20) // TILE
rng = random.Random(7)
order = rng.sample(range(nr), nr)
weights = list(itertools.accumulate(1 / (i + 1) ** 1.5 for i in range(nr)))


def write():
    with open(path, "wb") as f:
        for _ in range(mib):
            f.write(os.urandom(1 << 20))
        f.flush()
        os.fsync(f.fileno())


def counts():
    with open(f"{mount}/.stats.json") as f:
        cache = json.load(f)["cache"]
    return cache["hits"], cache["misses"]


def zipf(fd, times):
    """The share of hits."""
    block = mmap.mmap(-1, 4096)
    hits, misses = counts()
    for _ in range(times):
        tile = order[bisect.bisect(weights, rng.random() * weights[-1])]
        if os.preadv(fd, [block], tile * TILE + rng.randrange(TILE // 4096) * 4096) != 4096:
            sys.exit(f"{path}: a read fell short")
    now = counts()
    hits, misses = now[0] - hits, now[1] - misses
    if hits + misses < times:
        sys.exit(f"{hits} hits and {misses} misses of {times} reads")
    return hits / (hits + misses)


def scan():
    with open(path, "rb", buffering=0) as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while f.read(1 << 20):
            pass


write()
fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
warm = zipf(fd, 10000)
hot = zipf(fd, 10000)
scan()
after = zipf(fd, 5000)
os.close(fd)
print(f"hit rate by Zipf's law: {warm:.3f} at first, then {hot:.3f}; after reading all of it {after:.3f}")
sys.exit(hot < 0.9 or after < hot - 0.06)
