"""Fill a volume, and compare what it acknowledged, for test_full.sh.

  full_work.py fill DIR RECORD SEED KIND   write files until ENOSPC comes; RECORD: what was taken
  full_work.py verify DIR RECORD           all that was taken is there
  full_work.py space DIR                   print "TOTAL AVAIL", bytes, after checking that they
                                           can be true
  full_work.py taken RECORD...             print the bytes that were taken

KIND: big (files of 8 MB in writes of 1 MB), mixed (files of up to 200 KB, every third fsynced).
Bytes are taken when write() has returned. They are random: no compression helps.
"""
import errno
import hashlib
import json
import os
import random
import sys


def stream(tag, length):
    return hashlib.shake_128(tag.encode()).digest(length)


def plan(kind, rng):
    """File length, length of a write."""
    if kind == "big":
        return 8 << 20, 1 << 20
    length = rng.randint(1, rng.choice((3000, 20000, 200000)))
    return length, rng.randint(1, length)


def write_file(path, tag, length, piece, sync):
    """Returns the bytes taken, and whether the volume is full."""
    data, taken = stream(tag, length), 0
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except OSError as e:
        if e.errno != errno.ENOSPC:
            raise
        return -1, True
    try:
        while taken < length:
            taken += os.write(fd, data[taken:taken + piece])
        if sync:
            os.fsync(fd)
    except OSError as e:
        if e.errno != errno.ENOSPC:
            raise
        return taken, True
    finally:
        os.close(fd)
    return taken, False


def fill(directory, record, seed, kind):
    rng, taken_by, refusals = random.Random(int(seed)), {}, 0
    # A small file may still find room where a big one did not; a few refusals in a row are the end.
    for i in range(100000):
        length, piece = plan(kind, rng)
        name = f"{kind}{seed}-{i}"
        taken, full = write_file(os.path.join(directory, name), name, length, piece, i % 3 == 0)
        if taken >= 0:
            taken_by[name] = taken
        refusals = refusals + 1 if full else 0
        if refusals == 3:
            break
    else:
        sys.exit("full_work: the volume does not get full")
    with open(record, "w") as f:
        json.dump(taken_by, f)


def verify(directory, record):
    with open(record) as f:
        taken_by = json.load(f)
    for name, taken in taken_by.items():
        path = os.path.join(directory, name)
        fd = os.open(path, os.O_RDONLY)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        with open(fd, "rb") as f:
            data = f.read()
        if len(data) < taken or data != stream(name, len(data)):
            sys.exit(f"full_work: {path}: {len(data)} bytes, {taken} were taken; "
                     f"{'same' if data == stream(name, len(data)) else 'other'} bytes")


def space(directory):
    st = os.statvfs(directory)
    total, free, avail = (n * st.f_frsize for n in (st.f_blocks, st.f_bfree, st.f_bavail))
    if not avail <= free <= total:
        sys.exit(f"full_work: statfs: {avail} available, {free} free of {total}")
    print(total, avail)


def taken_bytes(records):
    total = 0
    for record in records:
        with open(record) as f:
            total += sum(json.load(f).values())
    print(total)


def main():
    verb, *args = sys.argv[1:]
    if verb == "fill":
        fill(*args)
    elif verb == "verify":
        verify(*args)
    elif verb == "space":
        space(*args)
    elif verb == "taken":
        taken_bytes(args)
    else:
        sys.exit(__doc__)


main()
