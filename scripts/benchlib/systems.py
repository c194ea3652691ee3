"""The systems that take turns on the same disks."""
import glob
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import time

import numpy as np

from benchlib.host import BenchError, drop_caches, fsync_dir, get, mounts_below, sh, syncfs, unmount, wait_for

MKFS_EXT4 = ("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0")


def running():
    """Names of the processes there are."""
    for proc in glob.glob("/proc/[0-9]*/comm"):
        try:
            yield get(proc)
        except OSError:
            pass  # ended meanwhile


class System:
    """make() new disks, then up() and down() as often as wanted, then gone().  While it is up, @path is its root."""
    programs = ()
    rounds = 1000  # more than it takes part in are not run

    def __init__(self, name, host, disks, setup):
        self.name, self.host, self.disks, self.setup = name, host, disks, setup
        self.path = f"{host.top}/mnt"
        os.makedirs(self.path, exist_ok=True)

    def missing(self):
        """Why it cannot run here, or None."""
        lacks = [p for p in self.programs if shutil.which(p) is None]
        return f"no {lacks[0]} here (scripts/setup --bench)" if lacks else None

    def make(self):
        raise NotImplementedError

    def up(self):
        raise NotImplementedError

    def down(self):
        unmount(self.path)

    def gone(self):
        pass

    def settle(self):
        """All that was done is on the disks when this returns."""
        syncfs(self.path)

    def cold(self):
        """Mounted anew, nothing of the files in memory, neither the kernel's nor a daemon's."""
        self.down()
        self.flush()
        if not self.setup.smoke:  # the whole machine's are dropped, which a test is not worth
            drop_caches()
        self.up()

    def flush(self):
        """What is still mounted after down() has nothing left to write.  (Not by sync, which waits for all disks.)"""

    def note(self):
        """What should be told about it while it is up, or None."""

    def keep_array(self, name, a):
        with open(f"{self.path}/{name}.npy", "wb") as f:
            np.save(f, a)
            f.flush()
            os.fsync(f.fileno())

    def map_array(self, name):
        """Something that rows can be had of, without reading it all."""
        return np.load(f"{self.path}/{name}.npy", mmap_mode="r")


class Ext4(System):
    """On the first disk."""

    def make(self):
        sh(*MKFS_EXT4, self.disks.dev[0])

    def up(self):
        sh("mount", self.disks.dev[0], self.path)


class Zarr(Ext4):
    """zarr's directories of chunks, with its own choice of them and of compression, on ext4 on the first disk."""

    def missing(self):
        return None if importlib.util.find_spec("zarr") else "no python3-zarr here (scripts/setup --bench)"

    def keep_array(self, name, a):
        import zarr  # pylint: disable=import-outside-toplevel
        zarr.save_array(f"{self.path}/{name}.zarr", a)
        syncfs(self.path)

    def map_array(self, name):
        import zarr  # pylint: disable=import-outside-toplevel
        return zarr.open(f"{self.path}/{name}.zarr", mode="r")


class Btrfs(System):
    """Over all disks, compressed."""
    programs = ("mkfs.btrfs",)
    level = "raid5"

    def missing(self):
        with open("/proc/filesystems", encoding="utf-8") as f:
            known = "\tbtrfs\n" in f.read()
        if not known:
            sh("sh", "-c", "modprobe -q btrfs", check=False)
            with open("/proc/filesystems", encoding="utf-8") as f:
                known = "\tbtrfs\n" in f.read()
        return super().missing() or (None if known else "this kernel has no btrfs")

    def make(self):
        sh("mkfs.btrfs", "-q", "-f", "-d", self.level, "-m", "raid1", *self.disks.dev)

    def up(self):
        sh("btrfs", "device", "scan", *self.disks.dev)
        sh("mount", "-o", "compress=zstd:3,discard", self.disks.dev[0], self.path)

    def gone(self):
        sh("btrfs", "device", "scan", "--forget", *self.disks.dev, check=False)


class Btrfs0(Btrfs):
    level = "raid0"


class OverDisks(System):
    """A program that serves directories: ext4 on each of the first @nr disks."""
    nr = 4

    def __init__(self, *args):
        super().__init__(*args)
        self.proc = None
        self.dirs = [f"{self.host.top}/disk{i}" for i in range(self.nr)]

    def make(self):
        for dev, d in zip(self.disks.dev, self.dirs):
            sh(*MKFS_EXT4, dev)
            os.makedirs(d, exist_ok=True)
            sh("mount", "-o", "discard", dev, d)

    def gone(self):
        for d in self.dirs:
            unmount(d)

    def command(self):
        raise NotImplementedError

    def up(self):
        log_path = f"{self.host.top}/daemon.log"
        with open(log_path, "wb") as log:
            # A session of its own: Ctrl-C is for this program, which then unmounts.
            self.proc = subprocess.Popen(  # pylint: disable=consider-using-with
                self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        wait_for(f"{self.name} to mount", lambda: self.proc.poll() is not None or self.is_up())
        if not self.is_up():
            with open(log_path, encoding="utf-8", errors="replace") as log:
                raise BenchError(f"{' '.join(self.command())}: exit {self.proc.returncode}: {log.read()[-600:]}")

    def is_up(self):
        return self.path in mounts_below(self.host.top)

    def down(self):
        super().down()
        if self.proc:
            self.proc.wait(60)
            self.proc = None

    def settle(self):
        syncfs(self.path)
        fsync_dir(self.path)
        self.flush()

    def flush(self):
        for d in self.dirs:
            syncfs(d)


class Passthrough(OverDisks):
    """libfuse's example that hands everything through: what FUSE alone costs."""
    nr = 1
    options = ()

    def program(self):
        return f"{self.setup.top}/.deps/fuse3/bin/passthrough_hp"

    def missing(self):
        return None if os.access(self.program(), os.X_OK) else f"no {self.program()} (scripts/setup)"

    def command(self):
        return [self.program(), "--foreground", *self.options, self.dirs[0], self.path]


class PassthroughData(Passthrough):
    """The same with the data through the daemon, not by the kernel around it."""
    options = ("--nopassthrough",)


class Mergerfs(OverDisks):
    programs = ("mergerfs",)

    def command(self):
        return ["mergerfs", "-f", "-o", "cache.files=partial,dropcacheonclose=true,category.create=mfs,minfreespace=0",
                ":".join(self.dirs), self.path]


class Gluster(OverDisks):
    """GlusterFS on this machine alone, data on three disks, redundancy on one."""
    programs = ("glusterd", "gluster", "glusterfs")
    rounds = 1  # it needs as long as all others together

    def __init__(self, *args):
        super().__init__(*args)
        self.server, self.here = None, f"{self.host.top}/gluster"

    def missing(self):
        why = super().missing()
        if why:
            return why
        if any(name == "glusterd" for name in running()):
            return "a glusterd runs here already and is left alone"
        try:
            address = socket.gethostbyname(socket.gethostname())
        except OSError:
            address = "nothing"
        # It takes no brick of "localhost", and the network is none of a benchmark's business.
        return None if address.startswith("127.") else \
            f"this host's name stands for {address}, not for 127.0.0.1 or 127.0.1.1, as GlusterFS needs it here"

    def gluster(self, *words):
        return sh("gluster", "--mode=script", f"--glusterd-sock={self.here}/socket", "volume", *words)

    def make(self):
        super().make()
        shutil.rmtree(self.here, ignore_errors=True)
        os.makedirs(f"{self.here}/work")
        with open(f"{self.here}/glusterd.vol", "w", encoding="ascii") as f:
            f.write("volume management\n type mgmt/glusterd\n"
                    f" option working-directory {self.here}/work\n option run-directory {self.here}/run\n"
                    f" option glusterd-sockfile {self.here}/socket\n option transport-type socket\n"
                    " option transport.socket.bind-address 127.0.0.1\n"
                    " option transport.socket.listen-port 24007\nend-volume\n")
        self.server = subprocess.Popen(  # pylint: disable=consider-using-with
            ["glusterd", "-N", "-f", f"{self.here}/glusterd.vol", "-l", f"{self.here}/log", "-p", f"{self.here}/pid"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        bricks = [f"{socket.gethostname()}:{d}/brick" for d in self.dirs]
        for last in range(50, -1, -1):  # until glusterd listens and has found its peers: itself
            try:
                self.gluster("create", "bench", "disperse-data", "3", "redundancy", "1", "transport", "tcp", *bricks,
                             "force")
                break
            except BenchError:
                if not last:
                    raise
                time.sleep(0.2)
        self.gluster("start", "bench")

    def command(self):
        return ["glusterfs", "-N", "--volfile-server=127.0.0.1", "--volfile-id=bench", "-l", f"{self.here}/client.log",
                self.path]

    def up(self):
        super().up()
        wait_for("GlusterFS to answer", self.answers)

    def answers(self):
        try:
            os.listdir(self.path)
            return True
        except OSError:
            return False

    def gone(self):
        self.gluster("stop", "bench", "force")
        self.server.terminate()
        self.server.wait(30)
        super().gone()


class Matfs(OverDisks):
    options = ""

    def program(self):
        return f"{self.setup.build}/matfs"

    def missing(self):
        return None if os.access(self.program(), os.X_OK) else f"{self.program()} is not built"

    def make(self):
        shutil.rmtree(f"{self.host.top}/state", ignore_errors=True)
        super().make()
        for d in self.dirs:
            os.makedirs(f"{d}/shard")

    def command(self):
        shards = ":".join(f"{d}/shard" for d in self.dirs)
        options = ",".join(o for o in (self.options, self.setup.options) if o)
        # conf=/dev/null: what the user's settings file says is not measured.
        return [self.program(), self.path, "-f", "-o",
                f"shards={shards},state={self.host.top}/state,conf=/dev/null,{options}"]

    def stats(self):
        with open(f"{self.path}/.stats.json", encoding="utf-8") as f:
            return json.load(f)

    def note(self):
        s = self.stats()
        return f"{s['matfs']['version']}, libfuse {s['matfs']['libfuse']}, transport {s['matfs']['transport']}, " \
               f"engine {s['volume']['engine']}"


class Matfs0(Matfs):
    options = "raid=0"


class Matfs5(Matfs):
    options = "raid=5"


# Key on the command line: the name in tables, and the class.
SYSTEMS = {
    "ext4": ("ext4, one disk", Ext4),
    "btrfs0": ("btrfs raid0 + zstd:3", Btrfs0),
    "btrfs5": ("btrfs raid5 + zstd:3", Btrfs),
    "mergerfs": ("mergerfs", Mergerfs),
    "gluster": ("GlusterFS disperse 3+1", Gluster),
    "zarr": ("zarr on ext4, one disk", Zarr),
    "pass": ("passthrough_hp, one disk", Passthrough),
    "nopass": ("passthrough_hp --nopassthrough, one disk", PassthroughData),
    "matfs0": ("matfs raid=0", Matfs0),
    "matfs5": ("matfs raid=5", Matfs5),
}
