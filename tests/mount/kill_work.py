"""A random workload with a record outside the volume, for test_kill.sh.

  kill_work.py work DIR RECORD STATE SEED    work in DIR until the mount is gone
  kill_work.py verify DIR RECORD STATE       after the remount: is DIR what the record allows?

One process works in DIR, so that what it did is a sequence. RECORD has a line before and after each
call. STATE holds what DIR was before: name -> [tag, length]. A file's bytes are the first `length`
of a stream that its tag determines, so that a file may only be too short or too long, never wrong.

verify finds an n such that DIR is what the first n calls make of STATE. Among them must be all that
an fsync which returned was asked for: of a file what was done to it and its name, of the directory
what was done to names (what was fsynced is there). There is no other order and no gap (a prefix);
of a write that was under way any part may be there. What it found becomes the new STATE.
"""
import array
import errno
import hashlib
import json
import os
import random
import sys

NAMES = [f"file{i}" for i in range(12)]
MOUNT_GONE = (errno.ENOTCONN, errno.ECONNABORTED, errno.ENODEV, errno.EIO, errno.EINTR,
              errno.ECANCELED)
FILE_MAX = 6 << 20


def stream(tag, length):
    """Random bytes, or numbers that compress well."""
    if tag % 2:
        return hashlib.shake_128(str(tag).encode()).digest(length)
    return array.array("Q", range(tag << 20, (tag << 20) + length // 8 + 1)).tobytes()[:length]


# ---- the calls, on a directory and on the model of it ----

def call(directory, op, tags):
    """Do it to the file system. @tags: name -> (tag, length) before it."""
    verb, name = op[0], op[1]
    path = os.path.join(directory, name)
    if verb == "create":
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    elif verb == "append":
        tag, length = tags[name]
        data = stream(tag, length + op[2])[length:]
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            while data:
                data = data[os.write(fd, data):]
        finally:
            os.close(fd)
    elif verb == "truncate":
        os.truncate(path, op[2])
    elif verb == "unlink":
        os.unlink(path)
    elif verb == "rename":
        os.rename(path, os.path.join(directory, op[2]))
    else:
        fd = os.open(directory if verb == "fsyncdir" else path, os.O_RDONLY)
        try:
            (os.fdatasync if verb == "fdatasync" else os.fsync)(fd)
        finally:
            os.close(fd)


def apply(files, op):
    """Do it to the model."""
    verb, name = op[0], op[1]
    if verb == "create":
        files[name] = [op[2], 0]
    elif verb == "append":
        files[name] = [files[name][0], files[name][1] + op[2]]
    elif verb == "truncate":
        files[name] = [files[name][0], op[2]]
    elif verb == "unlink":
        del files[name]
    elif verb == "rename":
        files[op[2]] = files.pop(name)


# ---- work ----

def some_length(rng):
    return rng.randint(1, rng.choice((100, 5000, 100000, 1500000)))


def next_calls(rng, files, new_tag):
    """One step of a program: a few calls."""
    there = [n for n in files if n in NAMES]
    free = [n for n in NAMES if n not in files]
    if free and (not there or rng.random() < 0.15):
        name = rng.choice(free)
        return [("create", name, new_tag()), ("append", name, some_length(rng))]
    name = rng.choice(there)
    length = files[name][1]
    what = rng.choices(("append", "sync", "replace", "move", "truncate", "unlink", "fsyncdir"),
                       (30, 15, 15, 8, 6, 6, 5))[0]
    if what == "append" and length < FILE_MAX:
        return [("append", name, some_length(rng))]
    if what == "sync":
        return [(rng.choice(("fsync", "fdatasync")), name)]
    if what == "replace":
        # As editors do, with and without the fsync.
        calls = [("create", "new", new_tag()), ("append", "new", some_length(rng))]
        calls += [("fsync", "new")] if rng.random() < 0.4 else []
        return calls + [("rename", "new", name)]
    if what == "move" and free:
        return [("rename", name, rng.choice(free))]
    if what == "truncate" and length:
        return [("truncate", name, rng.randrange(length))]
    if what == "unlink" or length >= FILE_MAX:
        return [("unlink", name)]
    return [("fsyncdir", ".")]


def work(directory, record, state, seed):
    with open(state) as f:
        known = json.load(f)
    files, rng = known["files"], random.Random(int(seed))
    out = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)

    def note(*what):
        os.write(out, (json.dumps(what) + "\n").encode())

    def new_tag():
        known["tag"] += 1
        return known["tag"]

    if "new" in files:
        # What the last kill left between the steps of a replacement.
        first = [("unlink", "new")]
    else:
        first = []
    while True:
        for op in first or next_calls(rng, files, new_tag):
            note("begin", *op)
            try:
                call(directory, op, files)
            except OSError as e:
                note("error", e.errno, e.strerror)
                sys.exit(0 if e.errno in MOUNT_GONE else f"kill_work: {op}: {e.strerror}")
            note("end")
            apply(files, op)
        first = []


# ---- verify ----

class Promised:
    """How many of the calls have to be there, because an fsync said so."""

    def __init__(self):
        self.calls = 0
        self.names = 0
        self.of = {}

    def done(self, op, n):
        """The call @op, the n-th, returned."""
        verb, name = op[0], op[1]
        if verb == "fsyncdir":
            self.calls = max(self.calls, self.names)
        elif verb in ("fsync", "fdatasync"):
            self.calls = max(self.calls, self.of.get(name, 0))
        elif verb in ("append", "truncate"):
            self.of[name] = n
        else:
            self.names = n
            self.of[op[2] if verb == "rename" else name] = n


def read_record(record):
    """The calls, and how many of them are certainly durable."""
    calls, promised = [], Promised()
    with open(record) as f:
        for line in f:
            what = json.loads(line)
            if what[0] == "begin":
                calls.append(what[1:])
            elif what[0] == "end":
                promised.done(calls[-1], len(calls))
            elif what[1] not in MOUNT_GONE:
                sys.exit(f"kill_work: {calls[-1]} failed: {what[2]}")
    return calls, promised.calls


class Found:
    """What is in the directory, read once."""

    def __init__(self, directory):
        self.data = {}
        self.known = {}
        for name in os.listdir(directory):
            with open(os.path.join(directory, name), "rb") as f:
                self.data[name] = f.read()

    def is_stream(self, name, tag):
        """All bytes of the file are its tag's."""
        key = name, tag
        if key not in self.known:
            data = self.data[name]
            self.known[key] = data == stream(tag, len(data))
        return self.known[key]

    def matches(self, files):
        return (self.data.keys() == files.keys() and
                all(len(self.data[n]) == length for n, (_, length) in files.items()) and
                all(self.is_stream(n, tag) for n, (tag, _) in files.items()))

    def matches_partly(self, files, op):
        """As files, but with a part of an append that was under way."""
        if not op or op[0] != "append" or op[1] not in self.data:
            return None
        tag, before = files[op[1]]
        length = len(self.data[op[1]])
        if not before < length < before + op[2]:
            return None
        partly = dict(files)
        partly[op[1]] = [tag, length]
        return partly if self.matches(partly) else None


def find_prefix(found, files, calls, synced):
    """The number of calls that are there and the state they make."""
    for n in range(len(calls) + 1):
        if n >= synced:
            if found.matches(files):
                return n, files
            partly = found.matches_partly(files, calls[n] if n < len(calls) else None)
            if partly:
                return n, partly
        if n < len(calls):
            apply(files, calls[n])
    return None, None


def verify(directory, record, state):
    with open(state) as f:
        known = json.load(f)
    calls, synced = read_record(record)
    found = Found(directory)
    n, files = find_prefix(found, {k: list(v) for k, v in known["files"].items()}, calls, synced)
    if n is None:
        for name in sorted(found.data):
            print(f"  {name}: {len(found.data[name])} bytes", file=sys.stderr)
        sys.exit(f"kill_work: {directory} is what none of the calls {synced} to {len(calls)} of "
                 f"{record} left")
    known["tag"] = max([known["tag"]] + [op[2] for op in calls if op[0] == "create"])
    known["files"] = files
    with open(state, "w") as f:
        json.dump(known, f)
    print(f"{len(calls)} {synced} {n}")


def main():
    verb, *args = sys.argv[1:]
    if verb == "work":
        work(*args)
    elif verb == "verify":
        verify(*args)
    else:
        sys.exit(__doc__)


main()
