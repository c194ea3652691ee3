"""The machine: commands, the work directory, emulated disks held to a rate; and that nothing of it stays."""
import contextlib
import ctypes
import fcntl
import glob
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import time

PREFIX = "matfs-bench."
DAEMONS = ("matfs", "passthrough_hp", "mergerfs", "glusterd", "glusterfs", "glusterfsd")


class BenchError(Exception):
    """What to tell the user, in one line or a few."""


def sh(*cmd, check=True):
    """The command's output."""
    r = subprocess.run(cmd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                       errors="replace", check=False)
    if check and r.returncode:
        raise BenchError(f"{' '.join(cmd)}: exit {r.returncode}: {r.stdout.strip()[-600:]}")
    return r.stdout


def wait_for(what, true, seconds=30):
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise BenchError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


def put(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text)


def get(path):
    with open(path, encoding="utf-8", errors="replace") as f:
        return f.read().strip()


def syncfs(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(fd):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
    finally:
        os.close(fd)


def fsync_dir(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def drop_caches():
    """Of what is on its disk already; for the rest see System.cold()."""
    put("/proc/sys/vm/drop_caches", "3\n")


def mounts_below(top):
    """Mountpoints below @top, the innermost first."""
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        points = [line.split()[4] for line in f]
    return sorted((p for p in points if p.startswith(top + "/")), key=len, reverse=True)


def loops_below(top):
    """Loop devices whose file is below @top."""
    for path in glob.glob("/sys/block/loop*/loop/backing_file"):
        try:
            if get(path).startswith(top + "/"):
                yield "/dev/" + path.split("/")[3]
        except OSError:
            pass  # detached meanwhile


def daemons_of(top):
    """Processes of systems under test that were started with a path below @top."""
    for proc in glob.glob("/proc/[0-9]*"):
        try:
            exe = os.path.basename(os.readlink(proc + "/exe")).split(" ")[0]
            if exe in DAEMONS and top + "/" in get(proc + "/cmdline"):
                yield int(proc[6:])
        except OSError:
            pass  # ended meanwhile


def unmount(path, seconds=60):
    """Also where something is still busy in it for a moment."""
    end = time.monotonic() + seconds
    while path in mounts_below(os.path.dirname(path)):
        out = sh("umount", path, check=False)
        if path in mounts_below(os.path.dirname(path)):
            if time.monotonic() > end:
                raise BenchError(f"cannot unmount {path}: {out.strip()}")
            time.sleep(0.05)


def undo(top):
    """Unmount, end and detach all that a run has below @top, in whatever state it was left."""
    limits = find_limits()
    for dev in loops_below(top):
        if limits:
            limits.lift(dev)
    for path in mounts_below(top):
        try:
            unmount(path, 10)
        except BenchError:
            sh("umount", "-l", path, check=False)
    for pid in daemons_of(top):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for path in mounts_below(top):  # what had been mounted over by something else
        sh("umount", "-l", path, check=False)
    for dev in loops_below(top):
        sh("losetup", "-d", dev, check=False)


def sweep(top):
    """Leave nothing of a run with the work directory @top, whether it is this one or one that was killed."""
    undo(top)
    shutil.rmtree(top, ignore_errors=True)


class LimitsV1:
    """The root group of cgroup v1's block controller: holds for whoever reads or writes the device."""
    THROTTLE = "/sys/fs/cgroup/blkio/blkio.throttle."

    def hold(self, dev, mbps):
        st = os.stat(dev).st_rdev
        for way in ("read", "write"):
            put(f"{self.THROTTLE}{way}_bps_device", f"{os.major(st)}:{os.minor(st)} {int(mbps * 1e6)}\n")

    def lift(self, dev):
        self.hold(dev, 0)

    def end(self):
        pass


class LimitsV2:
    """A group of cgroup v2 that this process, and with it all it starts, joins at the first limit.  What kernel
    threads write on nobody's behalf (btrfs's parity, journals) is not held."""
    ROOT = "/sys/fs/cgroup"

    def __init__(self):
        self.group, self.home = f"{self.ROOT}/{PREFIX}{os.getpid()}", None

    def hold(self, dev, mbps):
        if not self.home:
            put(f"{self.ROOT}/cgroup.subtree_control", "+io +memory\n")
            os.makedirs(self.group, exist_ok=True)
            self.home = self.ROOT + get("/proc/self/cgroup").split("::")[1].splitlines()[0]
            put(f"{self.group}/cgroup.procs", f"{os.getpid()}\n")
        st = os.stat(dev).st_rdev
        put(f"{self.group}/io.max", f"{os.major(st)}:{os.minor(st)} rbps={int(mbps * 1e6)} wbps={int(mbps * 1e6)}\n")

    def lift(self, dev):
        st = os.stat(dev).st_rdev
        for group in glob.glob(f"{self.ROOT}/{PREFIX}*"):
            put(f"{group}/io.max", f"{os.major(st)}:{os.minor(st)} rbps=max wbps=max\n")

    def end(self):
        if self.home:
            put(f"{self.home}/cgroup.procs", f"{os.getpid()}\n")
        for group in glob.glob(f"{self.ROOT}/{PREFIX}*"):
            try:
                os.rmdir(group)
            except OSError:
                pass  # another run's


def find_limits():
    """What this machine can hold disks to a rate with, or None."""
    if os.path.exists(LimitsV1.THROTTLE + "read_bps_device"):
        return LimitsV1()
    try:
        if "io" in get(LimitsV2.ROOT + "/cgroup.controllers").split():
            return LimitsV2()
    except OSError:
        pass
    return None


class Host:
    """The work directory, in memory.  Entered, it first clears away what killed runs left; left, what this one did."""

    def __init__(self, ram):
        self.ram, self.top, self.lock = os.path.realpath(ram), None, None
        self.limits = find_limits()

    def __enter__(self):
        for old in glob.glob(f"{self.ram}/{PREFIX}*"):
            with open(f"{old}/lock", "a", encoding="ascii") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue  # that run is alive
                sweep(old)
        # passthrough_hp holds a descriptor for each file that the kernel knows.
        with contextlib.suppress(OSError, ValueError):
            most = int(get("/proc/sys/fs/nr_open"))
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        self.top = tempfile.mkdtemp(prefix=PREFIX, dir=self.ram)
        self.lock = open(f"{self.top}/lock", "a", encoding="ascii")  # pylint: disable=consider-using-with
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        return self

    def __exit__(self, *_):
        for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(sig, signal.SIG_IGN)
        sweep(self.top)
        if self.limits:
            self.limits.end()
        self.lock.close()


class Disks:
    """Four block devices over files in memory, each held to @mbps (0: not).  Left by an exception, they take with them
    whatever is mounted and running on them."""
    NR = 4

    def __init__(self, host, mbps, mib):
        self.host, self.mbps, self.mib, self.dev = host, mbps, mib, []

    def images(self):
        return [f"{self.host.top}/image{i}" for i in range(self.NR)]

    def __enter__(self):
        """New and empty."""
        for image in self.images():
            with open(image, "wb") as f:
                f.truncate(self.mib << 20)
            self.dev.append(sh("losetup", "--show", "-f", image).strip())
            if self.host.limits:
                # A limit outlives its device: whoever had this number before may have left one.
                self.host.limits.lift(self.dev[-1])
        return self

    def hold(self):
        for dev in self.dev:
            if self.mbps:
                self.host.limits.hold(dev, self.mbps)

    def __exit__(self, failure, *_):
        if failure:
            undo(self.host.top)
        else:
            for dev in self.dev:
                if self.mbps:
                    self.host.limits.lift(dev)
                sh("losetup", "-d", dev)
        self.dev = []
        for image in self.images():
            os.unlink(image)

    def used(self):
        """Bytes that the images hold."""
        return sum(os.stat(image).st_blocks * 512 for image in self.images())


def why_not_held(host, mbps):
    """Why disks cannot be held to @mbps here, or None: it is tried."""
    if not host.limits:
        return "neither cgroup v1's block controller nor v2's io controller is there to hold disks to a rate"
    try:
        with Disks(host, mbps, 64) as disks:
            disks.hold()
            nr_bytes = 32 << 20
            begin = time.perf_counter()
            sh("dd", "if=/dev/zero", f"of={disks.dev[0]}", "bs=1M", f"count={nr_bytes >> 20}", "oflag=direct")
            rate = nr_bytes / 1e6 / (time.perf_counter() - begin)
    except (OSError, BenchError) as e:
        return f"disks cannot be held to a rate: {e}"
    return None if rate < 1.3 * mbps else f"a disk that should be held to {mbps} MB/s wrote {rate:.0f}"
