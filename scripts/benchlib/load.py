"""What is timed, on a directory; and that what comes back is what went in.  Rates are per second, higher is better."""
import mmap
import multiprocessing
import os
import shutil
import time

import numpy as np

from benchlib.host import BenchError, sh

BLOCK = 4096
MIB = 1 << 20


def seconds(work):
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def parallel(jobs):
    """Run each of @jobs in a process of its own, begun together: the time until all are done, and their results."""
    fork = multiprocessing.get_context("fork")
    gate, answers = fork.Barrier(len(jobs) + 1), fork.SimpleQueue()

    def run(idx, job):
        gate.wait(60)
        try:
            answers.put((idx, job(), None))
        except BaseException as e:  # pylint: disable=broad-except
            answers.put((idx, None, repr(e)))

    procs = [fork.Process(target=run, args=pair, daemon=True) for pair in enumerate(jobs)]
    for p in procs:
        p.start()
    try:
        gate.wait(60)
        begin = time.perf_counter()
        results = [answers.get() for _ in jobs]
        took = time.perf_counter() - begin
        for p in procs:
            p.join(60)
    finally:
        for p in procs:
            p.kill()
    for _, _, error in results:
        if error:
            raise BenchError(f"one of {len(jobs)} jobs failed: {error}")
    return took, [r for _, r, _ in sorted(results)]


# ---- arrays ----

def save(path, arrays):
    """numpy.save and fsync, one after the other."""
    for name, a in arrays:
        with open(f"{path}/{name}.npy", "wb") as f:
            np.save(f, a)
            f.flush()
            os.fsync(f.fileno())


def load(path, arrays):
    for name, _ in arrays:
        np.load(f"{path}/{name}.npy")


def check_arrays(path, arrays):
    for name, a in arrays:
        b = np.load(f"{path}/{name}.npy")
        if b.dtype != a.dtype or b.shape != a.shape or b.tobytes() != a.tobytes():
            raise BenchError(f"{path}/{name}.npy is not what was saved")


def shares(arrays, nr):
    """@arrays dealt out into @nr lists of about as many bytes."""
    out = [[] for _ in range(nr)]
    for pair in sorted(arrays, key=lambda p: -p[1].nbytes):
        min(out, key=lambda share: sum(a.nbytes for _, a in share)).append(pair)
    return [share for share in out if share]


def rows_at(seen, order, budget):
    """Rows of the array-like @seen, in @order, for @budget seconds at most: {row: bytes}, and rows per second."""
    got = {}
    begin = time.perf_counter()
    for i in order:
        got[int(i)] = np.array(seen[int(i)])
        if time.perf_counter() - begin > budget:
            break
    return got, len(got) / (time.perf_counter() - begin)


def check_rows(got, a, what):
    for i, row in got.items():
        if row.tobytes() != a[i].tobytes():
            raise BenchError(f"{what}: row {i} is not what was saved")


# ---- one big file of random bytes ----

class BigFile:
    """@mib MiB at @path, with bytes out of @pool (of whole MiB, aligned).  What each block should be is known."""

    def __init__(self, path, mib, pool):
        self.path, self.mib, self.pool = path, mib, memoryview(pool)
        self.nr = mib * MIB // BLOCK
        self.changed = {}

    def first(self, mib_idx):
        at = mib_idx * MIB % len(self.pool)
        return self.pool[at:at + MIB]

    def second(self, block):
        """Bytes for @block that are not its first ones."""
        at = (block * 31 + 17) * BLOCK % (len(self.pool) - BLOCK) + 7
        return self.pool[at:at + BLOCK]

    def write(self, flags=0):
        """All of it, by 1 MiB, and an fsync."""
        self.changed.clear()
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | flags, 0o600)
        try:
            for i in range(self.mib):
                if os.write(fd, self.first(i)) != MIB:
                    raise BenchError(f"{self.path}: a short write")
            os.fsync(fd)
        finally:
            os.close(fd)

    def read(self, flags=0):
        fd, buf = os.open(self.path, os.O_RDONLY | flags), mmap.mmap(-1, MIB)  # aligned, for O_DIRECT
        try:
            for _ in range(self.mib):
                if os.readv(fd, [buf]) != MIB:
                    raise BenchError(f"{self.path}: a short read")
        finally:
            os.close(fd)

    def check(self):
        with open(self.path, "rb", buffering=0) as f:
            for i in range(self.mib):
                want, per = bytearray(self.first(i)), MIB // BLOCK
                for block in range(i * per, (i + 1) * per):
                    if block in self.changed:
                        want[(block - i * per) * BLOCK:(block - i * per + 1) * BLOCK] = self.second(block)
                if f.read(MIB) != want:
                    raise BenchError(f"{self.path}: bytes from {i} MiB on are not what was written")

    def random(self, way, nr_jobs, budget, seed):
        """Blocks at random, none twice, by pread or pwrite (and an fsync at the end): how many per second."""
        order = np.random.default_rng(seed).permutation(self.nr)
        took, done = parallel([lambda k=k: self.job(way, order[k::nr_jobs].tolist(), budget) for k in range(nr_jobs)])
        if way == "write":
            for k, nr in enumerate(done):
                self.changed.update(dict.fromkeys(order[k::nr_jobs][:nr].tolist()))
        return sum(done) / took

    def job(self, way, order, budget):
        fd, buf, nr = os.open(self.path, os.O_RDWR), bytearray(BLOCK), 0
        end = time.perf_counter() + budget
        for block in order:
            if way == "write":
                moved = os.pwrite(fd, self.second(block), block * BLOCK)
            else:
                moved = os.preadv(fd, [buf], block * BLOCK)
            if moved != BLOCK:
                raise BenchError(f"{self.path}: {moved} bytes of block {block}")
            nr += 1
            if nr % 16 == 0 and time.perf_counter() > end:
                break
        if way == "write":
            os.fsync(fd)
        os.close(fd)
        return nr


# ---- small files ----

def names(path, nr):
    """create (with 100 bytes), stat and unlink @nr files of one directory."""
    os.mkdir(f"{path}/names")
    files = [f"{path}/names/f{i}" for i in range(nr)]

    def create(name):
        fd = os.open(name, os.O_CREAT | os.O_WRONLY, 0o644)
        os.write(fd, b"x" * 100)
        os.close(fd)

    out = {}
    for what, each in (("create", create), ("stat", os.stat), ("unlink", os.unlink)):
        out[what] = nr / seconds(lambda each=each: [each(name) for name in files])
    os.rmdir(f"{path}/names")
    return out


def tree(system, source, nr, check):
    """The tree @source of @nr files copied in, listed and read cold, removed; each until it is on the disks."""
    path, out = f"{system.path}/tree", {}

    def and_settle(*cmd):
        sh(*cmd)
        system.settle()

    out["copied in"] = nr / seconds(lambda: and_settle("cp", "-r", source, path))
    system.cold()
    lines = []
    out["listed"] = nr / seconds(lambda: lines.extend(sh("find", path, "-type", "f", "-ls").splitlines()))
    if len(lines) != nr:
        raise BenchError(f"{path}: {len(lines)} of {nr} files are listed")
    system.cold()
    # Into a pipe: tar reads nothing if it sees /dev/null.
    out["read"] = nr / seconds(lambda: sh("sh", "-c", 'tar cf - -C "$0" . | cat >/dev/null', path))
    if check:
        for d in sorted(os.listdir(source))[::10]:
            sh("diff", "-r", f"{source}/{d}", f"{path}/{d}")
    out["removed"] = nr / seconds(lambda: and_settle("rm", "-rf", path))
    if os.path.exists(path):
        shutil.rmtree(path)
        raise BenchError(f"{path}: still there after rm")
    return out
