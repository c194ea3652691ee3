#!/usr/bin/env python3
"""Slices of .npy files (MOUNT/.slice/PATH@[...]), compared with what numpy makes of the same arrays.

usage: slice.py MOUNT [SEED]

Works in a fresh subdirectory of MOUNT, prints a line for each failure and a summary, exits with 1
if anything failed and with 77 where numpy is not installed.
"""

import errno
import io
import json
import mmap
import multiprocessing
import os
import struct
import shutil
import sys
import tempfile
import time
import traceback
import warnings

try:
    import numpy as np
    from numpy.lib import format as npy
except ImportError:
    print("SKIP: python3-numpy is not installed")
    sys.exit(77)

CHECKS = []
NR_ARRAYS = int(os.environ.get("SLICE_ARRAYS", "120"))
NR_EXPRESSIONS = int(os.environ.get("SLICE_EXPRESSIONS", "18"))  # for each array

DTYPES = [
    "|b1", "|i1", "|u1", "<i2", ">u2", "<i4", ">i4", "<u8", ">i8", "<f2", "<f4", ">f8", "<f8",
    "<c8", ">c16", np.longdouble, np.clongdouble, "|S1", "|S7", "<U3", ">U5", "<M8[ns]", ">m8[25s]",
    "|V5",
    [("a", "<i2"), ("b", ">f8", (2, 3)), ("c", "|S3")],
    np.dtype([("x", "|u1"), ("y", "<f8"), ("z", "|u1")], align=True),
    [("out", [("in", "<f4"), ("r", "|u1", 4)]), (("title", "name"), "<c8")],
    [("gr\u00f6\u00dfe", "<f4"), ("it's", "|b1")],
    [("\u6570", "<i4"), ("q'\"\\", "<u2", (1,))],
    [("n", [("m", [("l", "<i8"), ("k", "|V3")])], (2,))],
]


def check(function):
    CHECKS.append(function)
    return function


def equal(seen, want, what):
    assert seen.shape == want.shape, f"{what}: shape {seen.shape}, expected {want.shape}"
    assert seen.dtype == want.dtype, f"{what}: type {seen.dtype}, expected {want.dtype}"
    assert seen.tobytes() == want.tobytes(), f"{what}: other bytes"


def sliced(path, expr):
    """The slice's name."""
    return os.path.join(MOUNT, ".slice", os.path.relpath(path, MOUNT)) + "@" + expr


def fails(code, function, *args):
    try:
        function(*args)
    except OSError as error:
        assert error.errno == code, f"{args}: {error}, expected {errno.errorcode[code]}"
        return
    raise AssertionError(f"{args}: no error, expected {errno.errorcode[code]}")


def read_at(path, off, length):
    fd = os.open(path, os.O_RDONLY)
    try:
        return os.pread(fd, length, off)
    finally:
        os.close(fd)


def whole(path):
    with open(path, "rb") as f:
        return f.read()


def stats(*names):
    with open(os.path.join(MOUNT, ".stats.json"), encoding="utf-8", errors="surrogateescape") as f:
        at = json.load(f)
    for name in names:
        at = at[name]
    return at


def said():
    return stats("messages")


# ---- random arrays and expressions ----


def random_array(rng):
    dtype = np.dtype(DTYPES[rng.integers(len(DTYPES))])
    most = int(rng.choice([20, 200, 3000, 60000, 400000], p=[0.15, 0.25, 0.3, 0.25, 0.05]))
    shape, n = [], 1
    for _ in range(int(rng.integers(0, 7))):
        shape.append(int(rng.integers(0, 2) if rng.random() < 0.1 else rng.integers(1, most // n + 1)
                         if rng.random() < 0.4 else rng.integers(1, min(9, most // n + 1) + 1)))
        n *= max(shape[-1], 1)
        if n >= most:
            break
    rng.shuffle(shape)
    if rng.random() < 0.02:
        shape = [1] * 20 + shape
    nr = int(np.prod(shape, dtype=np.int64))
    # Not every pattern of bits is text, so text is made of letters.
    if dtype.kind in "SU":
        flat = np.array(["".join(map(chr, rng.integers(97, 123, int(rng.integers(0, 6)))))
                         for _ in range(min(nr, 500))] or ["x"]).astype(dtype)
        a = np.resize(flat, shape)
    else:
        a = np.frombuffer(rng.bytes(max(nr * dtype.itemsize, 1)), "u1")[: nr * dtype.itemsize]
        if dtype.kind == "b":
            a = a & 1
        a = a.view(dtype).reshape(shape) if nr else np.empty(shape, dtype)
    return np.asfortranarray(a) if rng.random() < 0.4 else np.array(a, order="C", ndmin=0)


def save_array(path, a, rng):
    versions = [None, None, None, (2, 0), (3, 0)]
    if a.dtype.names is None or all(ord(c) < 128 for c in str(a.dtype.descr)):
        versions.append((1, 0))
    with open(path, "wb") as f:
        try:
            npy.write_array(f, a, version=versions[rng.integers(len(versions))])
        except UnicodeEncodeError:
            f.seek(0)
            f.truncate()
            npy.write_array(f, a, version=(3, 0))


def random_bound(rng, n):
    kind = rng.random()
    if kind < 0.3:
        return ""
    if kind < 0.35:
        return "None"
    if kind < 0.4:
        return str(rng.choice([10**6, -(10**6), 2**63, -(2**63), 10**25, -(10**25)], replace=True))
    return str(int(rng.integers(-n - 2, n + 3)))


def random_item(rng, n):
    kind = rng.random()
    if kind < 0.3 and n:
        at = int(rng.integers(-n, n))
        return f"+{at}" if at >= 0 and rng.random() < 0.1 else str(at)
    text = random_bound(rng, n) + ":" + random_bound(rng, n)
    if rng.random() < 0.6:
        step = rng.choice(["", "1", "2", "3", "-1", "-2", "4", "-5", str(n + 1), "10_000", "None",
                           str(-(2**64))])
        text += ":" + step
    return text


def random_expression(rng, shape):
    """An expression that numpy takes."""
    axes = list(shape)
    at = int(rng.integers(0, len(axes) + 1))
    items = [random_item(rng, n) for n in axes[:at]]
    if rng.random() < 0.4:
        skip = int(rng.integers(0, len(axes) - at + 1))
        items.append(rng.choice(["...", "Ellipsis"]))
        items += [random_item(rng, n) for n in axes[at + skip:]]
    for _ in range(int(rng.integers(0, 3)) if rng.random() < 0.3 else 0):
        items.insert(int(rng.integers(0, len(items) + 1)),
                     str(rng.choice(["None", "newaxis", "np.newaxis"])))
    if not items:
        return "[()]" if rng.random() < 0.7 else "[ ( ) ]"
    comma = rng.choice([",", ", ", " , "])
    text = comma.join(items) + ("," if rng.random() < 0.2 else "")
    return f"[{text}]" if rng.random() < 0.8 else f"[ {text} ]"


def by_numpy(a, expr):
    """What numpy makes of it, an array also where it is a scalar; None when it refuses."""
    try:
        index = eval("np.s_" + expr, {"newaxis": None, "np": np})
        index = index if isinstance(index, tuple) else (index,)
        return a[index if Ellipsis in index else index + (Ellipsis,)]
    except (IndexError, ValueError, OverflowError):
        return None


def compare(path, a, expr, rng):
    want = by_numpy(a, expr)
    name = sliced(path, expr)
    if len(os.path.basename(name).encode()) > 255:
        fails(errno.ENAMETOOLONG, os.stat, name)
        return
    if want is None:
        fails(errno.EINVAL, os.stat, name)
        return
    with open(name, "rb", buffering=0) as f:
        data = f.readall()
        size = os.fstat(f.fileno()).st_size
        assert size == len(data), f"{name}: stat tells {size} bytes, there are {len(data)}"
        off, length = int(rng.integers(0, len(data) + 10)), int(rng.integers(0, 5000))
        assert os.pread(f.fileno(), length, off) == data[off:off + length], \
            f"{name}: {length} at {off}"
        if rng.random() < 0.2:
            with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
                assert m[:] == data, f"{name}, mapped: other bytes"
    with io.BytesIO(data) as f:
        seen = npy.read_array(f, max_header_size=100000)
        assert (len(data) - seen.nbytes) % 64 == 0, f"{name}: a head of {len(data) - seen.nbytes}"
    # All bytes, those too that numpy does not count as part of an item.
    raw = by_numpy(a.view(f"|V{a.dtype.itemsize}"), expr)
    assert (seen.shape, seen.dtype) == (want.shape, want.dtype), f"{name}: {seen.shape} {seen.dtype}"
    order = "F" if seen.flags.fnc else "C"
    assert data[len(data) - seen.nbytes:] == raw.tobytes(order), f"{name} of {a.shape} {a.dtype}"


@check
def slices_are_what_numpy_makes(rng):
    nr = 0
    for i in range(NR_ARRAYS):
        a = random_array(rng)
        path = f"{i % 7}.npy"
        save_array(path, a, rng)
        for _ in range(NR_EXPRESSIONS):
            compare(path, a, random_expression(rng, a.shape), rng)
            nr += 1
    print(f"slice.py: {nr} expressions")


@check
def large_ones_too(rng):
    """Over extents and tiles, far and near, from the shards."""
    a = np.cumsum(rng.normal(size=(2000, 500)), axis=0)
    b = np.asfortranarray(a.astype("f4"))
    wide = rng.integers(0, 99, (5, 200001)).astype("i2")
    rec = np.zeros(40000, [("x", "f8"), ("y", "u1", 30)])
    rec["x"] = np.arange(40000)
    for name, x in (("a", a), ("b", b), ("wide", wide), ("rec", rec)):
        np.save(f"{name}.npy", x)
    drop_caches()
    for path, x, exprs in (
        ("a.npy", a, ("[:, 5]", "[::-1]", "[1000:1700]", "[::300, ::-1]", "[-1]", "[:, ::7]",
                      "[2::977, 3]", "[::-2, 100:450:3]", "[...]", "[:, None, -3:]")),
        ("b.npy", b, ("[:, 5]", "[::-1]", "[1000:1700]", "[::300, ::-1]", "[-1]", "[17, ::-1]")),
        ("wide.npy", wide, ("[:, 77]", "[::2, ::50000]", "[:, ::-1]", "[3, 1::2]", "[:, 9:190000:17]")),
        ("rec.npy", rec, ("[::3]", "[39999::-1]", "[5]")),
    ):
        for expr in exprs:
            want = np.array(by_numpy(x, expr))
            equal(np.load(sliced(path, expr)), want, path + expr)
            mapped = np.load(sliced(path, expr), mmap_mode="r")
            equal(np.array(mapped), want, path + expr + ", mapped")
            # With O_DIRECT nothing of it comes from the kernel's pages.
            assert direct(sliced(path, expr)) == whole(sliced(path, expr)), path + expr


def direct(path):
    fd = os.open(path, os.O_RDONLY | os.O_DIRECT)
    try:
        buf, out = mmap.mmap(-1, 1 << 20), []
        while n := os.preadv(fd, [buf], sum(map(len, out))):
            out.append(buf[:n])
        return b"".join(out)
    finally:
        os.close(fd)


def drop_caches():
    """Have every file on its shards, and forget what we can of it."""
    for name in os.listdir("."):
        if not os.path.isfile(name):
            continue
        fd = os.open(name, os.O_RDWR)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)


# ---- what is refused ----


@check
def wrong_expressions_are_refused(rng):
    np.save("a.npy", np.arange(24).reshape(2, 3, 4))
    for expr in ("[]", "[", "[1", "[1]]", "[1:::]", "[::0]", "[2]", "[-3]", "[0,0,4]", "[0,0,0,0]",
                 "[...,...]", "[1.5]", "[0x1]", "[x]", "[[0,1]]", "[True]", "[a>1]", "[(0,1)]",
                 "[01]", "[1__0]", "[_1]", "[1_]", "[,]", "[1,,2]", "['a']", "[1 2]", "[:;]", "[--1]",
                 "[1:2:3:4]", "[NoneX]", "[.]", "[..]", "[....]", "[9999999999999999999999]",
                 "[1]x", "[1] ", "[-]", "[+]", "[1:2-]", "[None None]", "[\t1]", "[\n]", "[e\u00e9]",
                 "[" + "None," * 40 + "0,0,0,0]", "[:,:,:,:]"):
        if len(f"a.npy@{expr}".encode()) > 255:
            continue
        fails(errno.EINVAL, os.stat, sliced("a.npy", expr))
        fails(errno.EINVAL, open, sliced("a.npy", expr))
    equal(np.load(sliced("a.npy", "[1_0:,]")), np.empty((0, 3, 4), int), "[1_0:,]")
    time.sleep(1.1)
    fails(errno.EINVAL, os.stat, sliced("a.npy", "[1, 2, 7]"))
    assert any("a.npy@[1, 2, 7]: character 8: index 7 is out of range: axis 2 has length 4" in line
               for line in said()), said()
    # They are told, but nobody can fill the log with them.
    before = len([line for line in said() if ".slice" in line])
    for i in range(300):
        fails(errno.EINVAL, os.stat, sliced("a.npy", f"[{i + 3}]"))
    assert len([line for line in said() if ".slice" in line]) - before < 20


@check
def other_files_are_refused(rng):
    np.save("a.npy", np.arange(12.0).reshape(3, 4))
    good = whole("a.npy")

    def written(data):
        with open("x.npy", "wb") as f:
            f.write(data)
        return sliced("x.npy", "[0]")

    fails(errno.EINVAL, os.stat, written(b""))
    fails(errno.EINVAL, os.stat, written(b"\x93NUMPY"))
    fails(errno.EINVAL, os.stat, written(b"text\n" * 100))
    fails(errno.EINVAL, os.stat, written(good[:60]))
    fails(errno.EINVAL, os.stat, written(good[:-1]))
    fails(errno.EINVAL, os.stat, written(good.replace(b"NUMPY\x01", b"NUMPY\x04")))
    fails(errno.EINVAL, os.stat, written(good.replace(b"(3, 4)", b"(3, 5)")))
    fails(errno.EINVAL, os.stat, written(good.replace(b"(3, 4)", b"(-3, )")))
    fails(errno.EINVAL, os.stat, written(good.replace(b"'<f8'", b"'<q8'")))
    fails(errno.EINVAL, os.stat, written(good.replace(b"'<f8'", b"'|O8'")))
    fails(errno.EINVAL, os.stat, written(good.replace(b"'shape'", b"'shope'")))
    fails(errno.EINVAL, os.stat, written(good.replace(b", }", b", 2")))
    fails(errno.EINVAL, os.stat, written(b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + good[10:]))
    huge = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d, %d, 2), }" % (2**62, 2**62)
    fails(errno.EINVAL, os.stat, written(b"\x93NUMPY\x01\x00" + bytes([len(huge), 0]) + huge))
    np.load(written(good + b"more"))
    np.save("o.npy", np.array([{}, None]), allow_pickle=True)
    fails(errno.EINVAL, os.stat, sliced("o.npy", "[0]"))
    np.savez("z.npz", a=np.arange(3))
    fails(errno.EINVAL, os.stat, sliced("z.npz", "[0]"))
    os.mkdir("d")
    os.mkfifo("p")
    fails(errno.EINVAL, os.stat, sliced("d", "[0]"))
    fails(errno.EINVAL, os.stat, sliced("p", "[0]"))
    fails(errno.ENOENT, os.stat, sliced("none.npy", "[0]"))
    fails(errno.ENOENT, os.stat, sliced("no/a.npy", "[0]"))
    fails(errno.ENOENT, os.stat, os.path.join(os.path.dirname(sliced("x", "")), "@[0]"))
    fails(errno.ENOENT, os.stat, sliced("a.npy", "")[:-1])
    fails(errno.ENOTDIR, os.stat, sliced("a.npy", "[0]") + "/x")
    fails(errno.ENAMETOOLONG, os.stat, sliced("a.npy", "[" + " " * 255 + "0]"))


@check
def nothing_is_changed_through_it(rng):
    np.save("a.npy", np.arange(12.0).reshape(3, 4))
    name, top = sliced("a.npy", "[0]"), os.path.dirname(sliced("a.npy", "[0]"))
    for flags in (os.O_WRONLY, os.O_RDWR, os.O_RDONLY | os.O_TRUNC, os.O_WRONLY | os.O_APPEND):
        fails(errno.EPERM, os.open, name, flags)
    fails(errno.EPERM, os.truncate, name, 0)
    fails(errno.EPERM, os.chmod, name, 0o777)
    fails(errno.EPERM, os.chown, name, 0, 0)
    fails(errno.EPERM, os.utime, name)
    fails(errno.EPERM, os.unlink, name)
    fails(errno.EPERM, os.rename, name, top + "/b")
    fails(errno.EPERM, os.rename, "a.npy", top + "/b")
    fails(errno.EPERM, os.link, name, "b")
    fails(errno.EPERM, os.link, "a.npy", top + "/b")
    fails(errno.EPERM, os.symlink, "x", top + "/b")
    fails(errno.EPERM, os.mkdir, top + "/b")
    fails(errno.EPERM, os.mkfifo, top + "/b")
    fails(errno.EPERM, os.rmdir, top)
    fails(errno.EPERM, os.open, top + "/b", os.O_CREAT | os.O_WRONLY)
    fails(errno.EPERM, os.open, top, os.O_TMPFILE | os.O_WRONLY)
    fails(errno.EPERM, os.setxattr, name, "user.x", b"1")
    fails(errno.EPERM, os.removexattr, name, "user.x")
    fails(errno.EPERM, os.rmdir, MOUNT + "/.slice")
    fails(errno.EPERM, os.rename, MOUNT + "/.slice", MOUNT + "/slice")
    os.mkdir("d")
    fails(errno.EPERM, os.rename, "d", MOUNT + "/.slice")
    fails(errno.ENODATA, os.getxattr, name, "user.x")
    assert os.listxattr(name) == [] and os.listxattr(top) == []
    assert ".slice" not in os.listdir(MOUNT) and os.listdir(MOUNT + "/.slice") == []
    assert os.listdir(top) == []
    equal(np.load("a.npy"), np.arange(12.0).reshape(3, 4), "the source")


# ---- names, links, attributes ----


@check
def names_may_be_odd(rng):
    a = np.arange(10)
    os.makedirs("dir@[0]/sub dir")
    os.makedirs("dir@[0]/e\u00e9@[")
    for name in ("dir@[0]/sub dir/a@[1].npy", "dir@[0]/e\u00e9@[/x", "@[2]@[3]", "@", "[0]", " ",
                 "dir@[0]/@[]", "x@[", "n" * 240):
        np.save(open(name, "wb"), a)
        equal(np.load(sliced(name, "[2:5]")), a[2:5], name)
    fails(errno.ENAMETOOLONG, os.stat, sliced("n" * 240, "[2:5,          ]"))
    # What can be walked through comes first.
    np.save(open("dir", "wb"), a)
    assert os.path.isdir(sliced("dir", "[0]"))


@check
def links_lead_there(rng):
    a, b = np.arange(10), np.arange(20, 30)
    os.makedirs("d/e")
    np.save("d/e/a.npy", a)
    np.save("b.npy", b)
    os.symlink("d/e/a.npy", "one")
    os.symlink("../../b.npy", "d/e/up")
    os.symlink("d/e", "dir")
    os.symlink("one", "two")
    os.symlink("gone", "dangling")
    os.symlink("self", "self")
    os.symlink(os.path.abspath("b.npy"), "absolute")
    os.link("b.npy", "hard")
    for name, want in (("one", a), ("two", a), ("dir/a.npy", a), ("dir/up", b), ("hard", b)):
        equal(np.load(sliced(name, "[3:]")), want[3:], name)
    assert os.readlink(sliced("one", "[3:]")) == "d/e/a.npy@[3:]"
    assert os.readlink(sliced("dir", "")[:-1]) == "d/e"
    assert os.lstat(sliced("one", "[3:]")).st_size == len("d/e/a.npy@[3:]")
    fails(errno.ENOENT, os.stat, sliced("dangling", "[0]"))
    fails(errno.ELOOP, os.stat, sliced("self", "[0]"))
    # An absolute one leaves the tree, to where nothing of this name is.
    fails(errno.ENOENT, os.stat, sliced("absolute", "[0]"))


@check
def attributes_are_the_sources(rng):
    np.save("a.npy", np.arange(12.0).reshape(3, 4))
    os.chmod("a.npy", 0o4751)
    os.utime("a.npy", ns=(10**18 + 5, 10**18 + 7))
    name = sliced("a.npy", "[1]")
    st, src = os.stat(name), os.stat("a.npy")
    assert st.st_mode == 0o100440 and st.st_nlink == 1, oct(st.st_mode)
    assert (st.st_uid, st.st_gid, st.st_mtime_ns) == (src.st_uid, src.st_gid, src.st_mtime_ns)
    assert st.st_ino != src.st_ino and st.st_ino == os.stat(name).st_ino
    assert st.st_size == 128 + 32 and st.st_blocks == 1
    os.chmod("a.npy", 0o600)
    assert os.stat(name).st_mode == 0o100400
    os.mkdir("d")
    os.chmod("d", 0o2731)
    assert os.stat(sliced("d", "")[:-1]).st_mode == 0o040511
    with open(name, "rb") as f:
        assert os.lseek(f.fileno(), 5, os.SEEK_DATA) == 5
        assert os.lseek(f.fileno(), 5, os.SEEK_HOLE) == 160
        assert os.lseek(f.fileno(), 0, os.SEEK_END) == 160
        fails(errno.ENXIO, os.lseek, f.fileno(), 160, os.SEEK_DATA)
        os.fsync(f.fileno())


def as_nobody(function, *args):
    """What a user who owns nothing gets: None or an errno."""
    pid = os.fork()
    if pid == 0:
        code = 255
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            code = 0
            function(*args)
        except OSError as error:
            code = error.errno if code == 0 else 255
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code != 255, "cannot become nobody"
    return code or None


@check
def others_read_what_they_may(rng):
    if os.getuid() != 0:
        print("slice.py: permissions left out: not root")
        return
    os.makedirs("d/e")
    os.chmod(".", 0o755)
    np.save("d/e/a.npy", np.arange(5))
    os.symlink("d/e/a.npy", "link")
    name = sliced("d/e/a.npy", "[1:]")
    os.chmod("d/e/a.npy", 0o644)
    assert as_nobody(whole, name) is None
    assert as_nobody(whole, sliced("link", "[1:]")) is None
    os.chmod("d/e/a.npy", 0o640)
    assert as_nobody(whole, name) == errno.EACCES
    assert as_nobody(whole, sliced("link", "[1:]")) == errno.EACCES
    assert as_nobody(os.stat, name) is None
    os.chown("d/e/a.npy", -1, 65534)
    assert as_nobody(whole, name) is None
    os.chmod("d/e", 0o700)
    assert as_nobody(whole, name) == errno.EACCES
    assert as_nobody(os.stat, name) == errno.EACCES
    assert as_nobody(os.stat, sliced("d/e/none", "[1:]")) == errno.EACCES
    os.chmod("d/e", 0o711)
    assert as_nobody(whole, name) is None
    os.chmod("d", 0)
    assert as_nobody(whole, name) == errno.EACCES
    os.chmod("d", 0o755)
    os.chown("d/e/a.npy", -1, 0)
    assert as_nobody(whole, name) == errno.EACCES
    # An access list that names them.
    acl = bytes.fromhex("02000000" "01000600ffffffff" "02000400feff0000" "04000000ffffffff"
                        "10000400ffffffff" "20000000ffffffff")
    os.setxattr("d/e/a.npy", "system.posix_acl_access", acl)
    assert as_nobody(whole, name) is None
    os.removexattr("d/e/a.npy", "system.posix_acl_access")
    assert as_nobody(whole, name) == errno.EACCES
    # One that lets them write only, in a file and on the way to it: they are not others.
    for path, others in (("d/e/a.npy", 4), ("d/e", 5)):
        before = os.stat(path).st_mode & 0o7777
        acl = struct.pack("<I" + "HHI" * 5, 2, 1, 7, 2**32 - 1, 2, 2, 65534, 4, 0, 2**32 - 1,
                          16, 2, 2**32 - 1, 32, others, 2**32 - 1)
        os.chmod("d/e/a.npy", 0o644)
        os.setxattr(path, "system.posix_acl_access", acl)
        assert as_nobody(whole, "d/e/a.npy") == errno.EACCES
        assert as_nobody(whole, name) == errno.EACCES, path
        os.removexattr(path, "system.posix_acl_access")
        assert as_nobody(whole, name) is None
        os.chmod(path, before)
    assert as_nobody(os.open, name, os.O_WRONLY) == errno.EACCES
    assert as_nobody(os.mkdir, MOUNT + "/.slice/x") == errno.EACCES


# ---- sources that change ----


@check
def changes_show_at_the_next_open(rng):
    name = sliced("a.npy", "[1]")
    for turn in range(30):
        a = np.full((3, 4), turn)
        np.save("a.npy", a)
        equal(np.load(name), a[1], f"turn {turn}")
        a[1] += 100
        m = np.load("a.npy", mmap_mode="r+")
        m[1] += 100
        m.flush()
        equal(np.load(name), a[1], f"turn {turn}, mapped")
    for turn in range(30):
        a = np.full((2 + turn % 3, 4 + turn % 5), turn, "i4" if turn % 2 else "f8")
        np.save("a.npy", a)
        equal(np.load(name), a[1], f"turn {turn}, another shape")
    os.unlink("a.npy")
    fails(errno.ENOENT, os.stat, name)


@check
def open_ones_keep_their_shape(rng):
    a = np.arange(600 * 700.0).reshape(600, 700)
    np.save("a.npy", a)
    name = sliced("a.npy", "[::2, 5:600]")
    want = a[::2, 5:600]
    with open(name, "rb") as f, open(name, "rb") as g:
        data = f.read(4000)
        # Another file of this name: the old one stays while it is open.
        np.save("b.npy", a + 1)
        os.rename("b.npy", "a.npy")
        equal(np.load(name), want + 1, "renamed over")
        data += f.read()
        equal(npy.read_array(io.BytesIO(data)), want, "the old one")
        assert os.fstat(f.fileno()).st_size == len(data)
        np.save("c.npy", a + 2)
        os.rename("c.npy", "a.npy")
        equal(npy.read_array(g), want, "the old one, unread until then")
    # The same file with another head: what is open is no more.
    with open(name, "rb", buffering=0) as f:
        f.read(200)
        size = os.fstat(f.fileno()).st_size
        np.save("a.npy", np.arange(900 * 701.0).reshape(900, 701))
        fails(errno.ESTALE, os.pread, f.fileno(), 4096, 1 << 20)
        assert os.fstat(f.fileno()).st_size == size
        equal(np.load(name), np.arange(900 * 701.0).reshape(900, 701)[::2, 5:600], "the new one")
        fails(errno.ESTALE, os.pread, f.fileno(), 4096, 1 << 20)
    # Cut off.
    with open(name, "rb", buffering=0) as f:
        os.truncate("a.npy", 1 << 20)
        fails(errno.ESTALE, os.pread, f.fileno(), 4096, 1 << 20)
        fails(errno.EINVAL, os.stat, name)


def rewrite(path, stop, in_place, seed):
    rng = np.random.default_rng(seed)
    turn = 0
    while not stop.is_set():
        turn += 1
        a = np.full((int(rng.integers(300, 400)), int(rng.integers(300, 400))), turn, "f8")
        if in_place:
            np.save(path, a)
        else:
            np.save(path + ".new.npy", a)
            os.replace(path + ".new.npy", path)
        time.sleep(0.01)


def read_again(path, until, torn_may_be, out):
    """Every array is of one shape, and of one value where files are replaced whole."""
    nr = nr_refused = 0
    # On a busy machine a turn may take long; a minute is for ever.
    while time.monotonic() < until or (not nr and time.monotonic() < until + 60):
        try:
            a = np.load(sliced(path, "[::3, -100::-2]"))
        except OSError as error:
            assert error.errno in (errno.ESTALE, errno.EINVAL, errno.EIO, errno.ENOENT), error
            nr_refused += 1
            continue
        except ValueError:
            assert torn_may_be  # np.load() met the end of a file that was cut
            nr_refused += 1
            continue
        nr += 1
        assert 100 <= a.shape[0] <= 134 and 100 <= a.shape[1] <= 150, a.shape
        assert (a >= 1).all() and (a == np.floor(a)).all(), "bytes of something else"
        assert torn_may_be or (a == a[0, 0]).all(), "of several versions"
    out.put((nr, nr_refused))


@check
def readers_beside_a_writer(rng):
    for in_place in (False, True):
        np.save("a.npy", np.ones((350, 350)))
        stop, out = multiprocessing.Event(), multiprocessing.Queue()
        writer = multiprocessing.Process(target=rewrite,
                                         args=("a.npy", stop, in_place, int(rng.integers(2**31))))
        until = time.monotonic() + 1.2
        readers = [multiprocessing.Process(target=read_again, args=("a.npy", until, in_place, out))
                   for _ in range(3)]
        writer.start()
        for p in readers:
            p.start()
        for p in readers:
            p.join()
        stop.set()
        writer.join()
        assert all(p.exitcode == 0 for p in readers + [writer]), "a process failed"
        got = [out.get() for _ in readers]
        assert all(nr for nr, _ in got), f"nothing could be read: {got}"
        print(f"slice.py: {'in place' if in_place else 'replaced'}: read, refused: {got}")


# ---- what it costs ----


@check
def no_more_is_decoded_than_must_be(rng):
    """Tiles are of 128 KiB, so a row of 8 KiB is in two at most, and the head is in one."""
    a = np.cumsum(rng.normal(size=(2048, 1024)), axis=1)
    with open("a.npy", "wb") as f:
        np.save(f, a)
        # What is not written yet need not be decoded, and later it need.
        os.fsync(f.fileno())
    drop_caches()

    def decoded(expr):
        before = stats("cache", "decoded_bytes"), stats("cache", "misses")
        equal(np.load(sliced("a.npy", expr)), np.array(by_numpy(a, expr)), expr)
        return stats("cache", "decoded_bytes") - before[0]

    tile = 130 << 10
    decoded("[0, 0]")
    assert decoded("[1500]") <= 2 * tile
    assert decoded("[1000:1010, 500:510]") <= 2 * tile
    assert decoded("[300::512, 7]") <= 4 * tile
    # What is decoded, is decoded once, as long as nothing has to go.
    decoded("[:, 3]")
    evicted = stats("cache", "evicted")
    again = decoded("[:, 3]"), decoded("[::-1, 4]")
    assert again == (0, 0) or stats("cache", "evicted") > evicted, again


@check
def the_kernel_forgets(rng):
    np.save("a.npy", np.arange(5000))
    for i in range(300):
        os.stat(sliced("a.npy", f"[{i}:]"))
    most = stats("slices", "nodes")
    assert most >= 300, most
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as f:
        f.write("2\n")
    end = time.monotonic() + 5
    while stats("slices", "nodes") > most - 250 and time.monotonic() < end:
        time.sleep(0.02)
    assert stats("slices", "nodes") <= most - 250, (most, stats("slices", "nodes"))


def main():
    global MOUNT
    if len(sys.argv) not in (2, 3):
        print(__doc__.strip().split("\n\n")[1], file=sys.stderr)
        return 2
    seed = int(sys.argv[2]) if len(sys.argv) == 3 else int.from_bytes(os.urandom(4), "little")
    print(f"slice.py: seed {seed}")
    warnings.simplefilter("ignore")  # of numpy, about version 3
    MOUNT = os.path.realpath(sys.argv[1])
    only = os.environ.get("ONLY")
    top = tempfile.mkdtemp(prefix="slice.", dir=MOUNT)
    os.chmod(top, 0o755)
    failed = 0
    for function in CHECKS:
        if only and function.__name__ not in only.split(","):
            continue
        if function is the_kernel_forgets and not os.access("/proc/sys/vm/drop_caches", os.W_OK):
            continue
        os.mkdir(os.path.join(top, function.__name__))
        os.chdir(os.path.join(top, function.__name__))
        start = time.monotonic()
        try:
            function(np.random.default_rng(seed))
        except Exception as error:
            failed += 1
            frame = traceback.extract_tb(error.__traceback__)[-1]
            print(f"slice.py:{frame.lineno}: {function.__name__}: "
                  f"{type(error).__name__}: {error}")
            if os.environ.get("TRACE"):
                traceback.print_exc()
        print(f"slice.py: {function.__name__}: {time.monotonic() - start:.2f} s")
        os.chdir("/")
        shutil.rmtree(os.path.join(top, function.__name__))
    os.rmdir(top)
    print(f"slice.py: {len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
