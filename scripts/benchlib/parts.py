"""The parts of the benchmark: which systems, on which disks, what is done with them, and what would be good enough."""
import collections
import json
import mmap
import os
import shutil

import numpy as np

from benchlib import data, load
from benchlib.host import sh

# @unit of a figure; @base: the system it is compared with, if not the part's; @lower: less is better.
Metric = collections.namedtuple("Metric", "unit base lower", defaults=(None, False))

# What a run does by default, with --quick, and with --smoke: enough to see that all of it works.
SIZES = {
    "full": {"arrays_mb": 384, "codec_mb": 400, "rows_mb": 432, "rand_mib": 128, "big_mib": 256, "budget": 1.5,
             "names": 3000, "small": 1000, "files": 10000, "rounds": 2, "mib": 3072, "mbps": 100},
    "quick": {"arrays_mb": 48, "codec_mb": 200, "rows_mb": 192, "rand_mib": 64, "big_mib": 128, "budget": 0.7,
              "names": 1500, "small": 500, "files": 4000, "rounds": 1, "mib": 2048, "mbps": 100},
    "smoke": {"arrays_mb": 3, "codec_mb": 3, "rows_mb": 12, "rand_mib": 4, "big_mib": 8, "budget": 0.05,
              "names": 50, "small": 100, "files": 200, "rounds": 1, "mib": 256, "mbps": 0},
}


class Part:
    """prepare() once, measure() for each system and round, on disks of its own."""
    key = title = base = ""
    about = ()  # lines below the table: what is in the figures
    throttled = False
    systems = ()
    metrics = {}
    estimate = 10  # seconds of one system and round at full sizes

    def __init__(self, args, sizes):
        self.args, self.sizes, self.scratch = args, sizes, None

    def mbps(self):
        return self.sizes["mbps"] if self.throttled else 0

    def prepare(self, scratch):
        """@scratch: a directory in memory that is there as long as the part."""
        self.scratch = scratch

    def measure(self, system, check):
        """{metric: figure}.  With @check bytes are verified, outside of what is timed; always where that is cheap."""
        raise NotImplementedError

    def yardsticks(self):
        """Rows of the table that are no system: {name: {metric: figure}}."""
        return {}

    def targets(self, r):
        """What would be good enough, by the Result @r: (text, wanted, seen, whether less is better); @seen is None
        where it was not run."""
        raise NotImplementedError


class Arrays(Part):
    key, base, throttled, estimate = "arrays", "btrfs5", True, 30
    systems = ("ext4", "btrfs0", "btrfs5", "mergerfs", "gluster", "nopass", "matfs0", "matfs5")
    metrics = {
        "save": Metric("MB/s"), "save, 4 writers": Metric("MB/s"), "space": Metric("of the bytes", lower=True),
        "cold load": Metric("MB/s"), "warm load": Metric("MB/s"), "4 KiB reads": Metric("1/s"),
        "4 KiB writes": Metric("1/s"), "copied in": Metric("files/s"), "listed": Metric("files/s"),
        "read": Metric("files/s"), "removed": Metric("files/s"),
    }
    about = (
        "numpy.save with an fsync for each array; space is what the disks' images hold more, parity and all. Cold:",
        "mounted anew, the kernel's caches dropped. Warm: loaded again; there the kernel's page cache may answer.",
        "4 KiB reads and writes: 2 processes at random in a cold file of random bytes, the writes' fsync included.",
        "Files: 64 bytes to 8 KiB each, copied and removed until they are on the disks, listed and read cold.",
    )

    def prepare(self, scratch):
        super().prepare(scratch)
        self.arrays = data.arrays(self.sizes["arrays_mb"] * 10**6, self.args.corpus)
        self.mb = sum(a.nbytes for _, a in self.arrays) / 1e6
        origin = f"of {self.args.corpus}" if self.args.corpus else "made up"
        self.title = f"{len(self.arrays)} arrays {origin}, {self.mb:.0f} MB"
        self.pool = new_pool(min(32, self.sizes["rand_mib"]))
        data.tree(f"{scratch}/tree", self.sizes["small"])

    def measure(self, system, check):
        path, out = system.path, {}
        system.settle()
        before = system.disks.used()
        out["save"] = self.mb / load.seconds(lambda: load.save(path, self.arrays))
        system.cold()
        system.settle()
        out["space"] = (system.disks.used() - before) / self.mb / 1e6

        os.mkdir(f"{path}/p")
        jobs = [lambda share=share: load.save(f"{path}/p", share) for share in load.shares(self.arrays, 4)]
        out["save, 4 writers"] = self.mb / load.parallel(jobs)[0]
        if check:
            load.check_arrays(f"{path}/p", self.arrays)
        shutil.rmtree(f"{path}/p")

        system.cold()
        out["cold load"] = self.mb / load.seconds(lambda: load.load(path, self.arrays))
        load.check_arrays(path, self.arrays)
        out["warm load"] = self.mb / np.median([load.seconds(lambda: load.load(path, self.arrays)) for _ in range(3)])

        big = load.BigFile(f"{path}/big", self.sizes["rand_mib"], self.pool)
        big.write()
        for way in ("write", "read"):
            system.cold()
            out[f"4 KiB {way}s"] = big.random(way, 2, self.sizes["budget"], 3)
        big.check()
        os.unlink(big.path)

        out.update(load.tree(system, f"{self.scratch}/tree", self.sizes["small"], check))
        return out

    def targets(self, r):
        yield "matfs raid=5: save, against btrfs raid5 + zstd:3", 1.3, r.ratio("matfs5", "save", "btrfs5"), False
        yield "cold load, against it", 1.3, r.ratio("matfs5", "cold load", "btrfs5"), False
        yield "space, against it", 0.85, r.ratio("matfs5", "space", "btrfs5"), True
        for key, metric in self.metrics.items():
            rivals = {s: r.ratio("matfs5", key, s) for s in self.systems if not s.startswith("matfs")}
            rivals = {s: x for s, x in rivals.items() if x is not None}
            if rivals:
                best = (max if metric.lower else min)(rivals, key=rivals.get)
                yield f"{key}, against the best other one, {r.names[best]}", 1.0, rivals[best], metric.lower


def new_pool(mib):
    """Random bytes, aligned for O_DIRECT."""
    pool = mmap.mmap(-1, mib << 20)
    pool.write(data.random_bytes(mib << 20))
    return pool


class Ram(Part):
    key, base, estimate = "ram", "nopass", 12
    title = "Random bytes, disks in memory without limit"
    systems = ("ext4", "nopass", "pass", "matfs0")
    metrics = {
        "write": Metric("MB/s"), "write, O_DIRECT": Metric("MB/s"), "cold read": Metric("MB/s"),
        "read, O_DIRECT": Metric("MB/s"), "read again": Metric("MB/s", "ext4"), "4 KiB reads": Metric("1/s"),
        "4 KiB reads, 4 jobs": Metric("1/s"), "4 KiB writes": Metric("1/s"), "4 KiB writes, 4 jobs": Metric("1/s"),
        "create": Metric("1/s"), "stat": Metric("1/s"), "unlink": Metric("1/s"),
    }
    about = (
        "write, read: one file by 1 MiB, the write's fsync included; cold: mounted anew, caches dropped. read again is",
        "compared with ext4's, and is the kernel's page cache where the system leaves the file there.",
        "4 KiB: pread and pwrite at random in the cold file, no block twice, the fsync included; each call costs",
        "the benchmark itself about 1 us. create (with 100 bytes), stat, unlink: one process, one directory.",
    )

    def prepare(self, scratch):
        super().prepare(scratch)
        self.pool = new_pool(min(64, self.sizes["big_mib"]))

    def measure(self, system, check):
        mib, budget, out = self.sizes["big_mib"], self.sizes["budget"], {}
        mb = mib * load.MIB / 1e6
        big = load.BigFile(f"{system.path}/big", mib, self.pool)
        out["write, O_DIRECT"] = mb / load.seconds(lambda: big.write(os.O_DIRECT))
        system.cold()
        out["read, O_DIRECT"] = mb / load.seconds(lambda: big.read(os.O_DIRECT))
        os.unlink(big.path)
        system.settle()
        out["write"] = mb / load.seconds(big.write)
        system.cold()
        out["cold read"] = mb / load.seconds(big.read)
        out["read again"] = mb / np.median([load.seconds(big.read) for _ in range(3)])
        for way in ("read", "write"):
            for nr, key in ((1, f"4 KiB {way}s"), (4, f"4 KiB {way}s, 4 jobs")):
                system.cold()
                out[key] = big.random(way, nr, budget, nr)
        if check:
            system.cold()
            big.check()
        os.unlink(big.path)
        out.update(load.names(system.path, self.sizes["names"]))
        return out

    def targets(self, r):
        for base in ("nopass", "pass"):
            for key, wanted in (("write", 0.8), ("cold read", 0.8), ("4 KiB reads", 1.0), ("4 KiB reads, 4 jobs", 1.0),
                                ("4 KiB writes", 1.0), ("4 KiB writes, 4 jobs", 1.0), ("create", 0.8), ("stat", 0.8),
                                ("unlink", 0.8)):
                yield f"matfs raid=0: {key}, against {r.names[base]}", wanted, r.ratio("matfs0", key, base), False
        yield "matfs raid=0: read again, against ext4", 0.9, r.ratio("matfs0", "read again", "ext4"), False


class Codec(Part):
    key, base, estimate = "codec", "bench-codec", 8
    systems = ("ext4", "matfs0", "matfs5")
    metrics = {"save": Metric("MB/s"), "save, a writer each core": Metric("MB/s"), "cold load": Metric("MB/s"),
               "cold load, a reader each core": Metric("MB/s")}
    about = (
        "bench-codec is what `matfsctl bench-codec` reaches on one core with the same arrays, times the cores; next to",
        "it the sum of as many of them as there are cores, run side by side. fsyncs are included.",
    )

    def prepare(self, scratch):
        super().prepare(scratch)
        some = data.arrays(min(self.sizes["codec_mb"], 100) * 10**6, self.args.corpus)
        times = max(1, self.sizes["codec_mb"] // 100)
        self.arrays = [(f"{name}.{i}", a) for i in range(times) for name, a in some]
        self.mb = sum(a.nbytes for _, a in self.arrays) / 1e6
        self.title = f"{len(self.arrays)} arrays, {self.mb:.0f} MB, disks in memory without limit"
        self.files = []
        for name, a in some:
            self.files.append(f"{scratch}/{name}.npy")
            np.save(self.files[-1], a)

    def alone(self):
        """(encode, decode) of one process, in MB/s."""
        out = sh(f"{self.args.build}/matfsctl", "bench-codec", "--json", "--gpu", "off", "--rounds", "1", *self.files)
        rows = json.loads(out[out.index("["):])
        nr_bytes = sum(row["bytes"] for row in rows)
        return tuple(nr_bytes * 1e3 / sum(row["matfs"][f"{way}_ns"] for row in rows) for way in ("encode", "decode"))

    def yardsticks(self):
        cores = len(os.sched_getaffinity(0))
        one = np.median([self.alone() for _ in range(3)], axis=0) * cores
        every = sum(np.array(pair) for pair in load.parallel([self.alone] * cores)[1])
        return {name: {key: float(pair[0 if key.startswith("save") else 1]) for key in self.metrics}
                for name, pair in (("bench-codec", one), (f"bench-codec, {cores} side by side", every))}

    def measure(self, system, check):
        path, out, cores = system.path, {}, len(os.sched_getaffinity(0))
        parts = load.shares(self.arrays, cores)
        out["save"] = self.mb / load.seconds(lambda: load.save(path, self.arrays))
        system.cold()
        out["cold load"] = self.mb / load.seconds(lambda: load.load(path, self.arrays))
        if check:
            load.check_arrays(path, self.arrays)
        for name, _ in self.arrays:
            os.unlink(f"{path}/{name}.npy")
        system.settle()
        out["save, a writer each core"] = self.mb / load.parallel(
            [lambda share=share: load.save(path, share) for share in parts])[0]
        system.cold()
        out["cold load, a reader each core"] = self.mb / load.parallel(
            [lambda share=share: load.load(path, share) for share in parts])[0]
        return out

    def targets(self, r):
        for key in self.metrics:
            yield f"matfs raid=0: {key}, against bench-codec's rate times the cores", 0.85, \
                r.ratio("matfs0", key, "bench-codec"), False


class Rows(Part):
    key, base, throttled, estimate = "rows", "btrfs5", True, 16
    systems = ("ext4", "zarr", "btrfs5", "matfs5")
    WIDTHS = {"4 KiB": 1024, "16 KiB": 4096, "64 KiB": 16384}
    metrics = {f"random, {w}": Metric("rows/s") for w in WIDTHS} | {
        "every 7th, 16 KiB": Metric("rows/s"), "backward, 16 KiB": Metric("rows/s")}
    about = (
        "Rows of float32 arrays, of memory-mapped .npy files or by zarr's indexing, by one process. Before each figure",
        "mounted anew and caches dropped. random: one row out of each MiB, in random order, so that what the kernel or",
        "the system reads beyond a row serves no other; the others: at most an eighth of the rows, in their order.",
    )

    def prepare(self, scratch):
        super().prepare(scratch)
        each = self.sizes["rows_mb"] * 10**6 // len(self.WIDTHS)
        self.arrays = {w: data.field(each // (4 * cols), cols, cols) for w, cols in self.WIDTHS.items()}
        self.title = f"Cold rows out of {self.sizes['rows_mb']} MB of arrays"

    def orders(self):
        for what in self.metrics:
            way, width = what.split(", ")
            nr = len(self.arrays[width])
            some = max(4, nr // 8)
            rng, a_mib = np.random.default_rng(nr), load.MIB // (4 * self.WIDTHS[width])
            firsts = rng.permutation(nr // a_mib) * a_mib
            yield what, width, {"random": firsts + rng.integers(0, a_mib, firsts.size),
                                "every 7th": np.arange(0, nr, 7)[:some],
                                "backward": np.arange(nr - 1, -1, -1)[:some]}[way]

    def measure(self, system, check):
        out = {}
        for width, a in self.arrays.items():
            system.keep_array(f"a{self.WIDTHS[width]}", a)
        system.settle()
        for what, width, order in self.orders():
            system.cold()
            seen = system.map_array(f"a{self.WIDTHS[width]}")
            got, out[what] = load.rows_at(seen, order, self.sizes["budget"])
            load.check_rows(got, self.arrays[width], f"{system.name}, {what}")
            del seen, got
        return out

    def targets(self, r):
        for base in ("btrfs5", "zarr"):
            for width in self.WIDTHS:
                yield f"matfs raid=5: random rows of {width}, against {r.names[base]}", 3.0, \
                    r.ratio("matfs5", f"random, {width}", base), False


class Files(Part):
    key, base, estimate = "files", "btrfs5", 20
    systems = ("btrfs5", "nopass", "pass", "matfs5")
    metrics = {key: Metric("files/s") for key in ("copied in", "listed", "read", "removed")}
    about = ("cp -r and rm -rf until it is on the disks; find -ls and tar after mounting anew with caches dropped.",)

    def prepare(self, scratch):
        super().prepare(scratch)
        total = data.tree(f"{scratch}/tree", self.sizes["files"])
        self.title = f"{self.sizes['files']:,} files, {total / 1e6:.0f} MB, disks in memory without limit"

    def measure(self, system, check):
        return load.tree(system, f"{self.scratch}/tree", self.sizes["files"], check)

    def targets(self, r):
        for key in self.metrics:
            seen = [(r.ratio("matfs5", key, base), wanted, base) for base, wanted in
                    (("btrfs5", 1.0), ("nopass", 0.8), ("pass", 0.8))]
            seen = [one for one in seen if one[0] is not None]
            if seen:  # whichever is lower: the easiest of them to meet
                ratio, wanted, base = max(seen, key=lambda one: one[0] / one[1])
                yield f"matfs raid=5: {key}, against the lower of btrfs and 80 % of passthrough_hp " \
                      f"({r.names[base]})", wanted, ratio, False


PARTS = {part.key: part for part in (Arrays, Ram, Codec, Rows, Files)}
