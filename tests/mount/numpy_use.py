#!/usr/bin/env python3
"""What scientists do to files: numpy arrays, memory maps, SQLite, zip and tar.

usage: numpy_use.py DIR [SEED]

Works in a fresh subdirectory of DIR, prints a line for each failure and a summary, exits with 1
if anything failed and with 77 where numpy is not installed.
"""

import hashlib
import os
import shutil
import sqlite3
import sys
import tarfile
import tempfile
import traceback
import zipfile

try:
    import numpy as np
except ImportError:
    print("SKIP: python3-numpy is not installed")
    sys.exit(77)

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


def equal(seen, want, what):
    """Same shape, type and bytes: NaNs and negative zeros count."""
    assert seen.shape == want.shape, f"{what}: shape {seen.shape}, expected {want.shape}"
    assert seen.dtype == want.dtype, f"{what}: type {seen.dtype}, expected {want.dtype}"
    assert seen.tobytes() == want.tobytes(), f"{what}: other bytes"


def forget_pages(path):
    """Make the next read come from the file system where that may be asked for."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def smooth(shape, dtype, rng):
    """Numbers as measurements have them: a slow course and noise in the low bits."""
    steps = rng.normal(size=int(np.prod(shape)))
    course = np.cumsum(steps).reshape(shape)
    if np.dtype(dtype).kind in "iu":
        return (course * 50).astype(np.int64).astype(dtype)
    return course.astype(dtype)


@check
def arrays_of_every_type_come_back(rng):
    for dtype in ("f2", "f4", "f8", ">f8", "c8", "c16", "i1", "i2", "i4", "i8", "u1", "u2", "u8",
                  ">i4", "g"):
        with np.errstate(over="ignore"):
            a = smooth((301, 257), dtype, rng)
        np.save(f"{dtype[-2:]}.npy", a)
        forget_pages(f"{dtype[-2:]}.npy")
        equal(np.load(f"{dtype[-2:]}.npy"), a, dtype)
    for a in (np.array(3.5), np.zeros((0, 5)), rng.random((10, 10)) > 0.5,
              np.array(["text", "caf\u00e9"]), np.array([b"ab", b"c"]),
              np.array(["2020-01-01", "NaT"], dtype="datetime64[ns]"),
              np.array([(1, 2.5), (3, np.nan)], dtype=[("i", "i4"), ("x", "f8")]),
              np.array([0.0, -0.0, np.inf, -np.inf, np.nan]), np.full((1000, 100), np.nan)):
        np.save("other.npy", a)
        equal(np.load("other.npy"), a, str(a.dtype))


@check
def fortran_order_and_views(rng):
    a = np.asfortranarray(smooth((500, 333), "f8", rng))
    np.save("fortran.npy", a)
    b = np.load("fortran.npy")
    assert b.flags.f_contiguous
    equal(b, a, "Fortran order")
    np.save("view.npy", a[::3, ::-2])
    equal(np.load("view.npy"), a[::3, ::-2], "strided view")
    a.T.tofile("raw.bin")
    equal(np.fromfile("raw.bin").reshape(a.T.shape), a.T, "tofile")


@check
def large_arrays_come_back(rng):
    want = {}
    for name, a in (("noise", rng.integers(0, 256, 24 << 20, dtype="u1")),
                    ("smooth", smooth((3 << 20,), "f8", rng)),
                    ("zeros", np.zeros((4 << 20,), "f8")),
                    ("image", (smooth((2000, 3000), "f4", rng) % 4096).astype("u2"))):
        np.save(f"{name}.npy", a)
        want[name] = hashlib.sha256(a.tobytes()).hexdigest()
    for name, digest in want.items():
        forget_pages(f"{name}.npy")
        a = np.load(f"{name}.npy")
        assert hashlib.sha256(a.tobytes()).hexdigest() == digest, f"{name}: other bytes"


@check
def memory_maps_in_every_mode(rng):
    want = smooth((1000, 512), "f8", rng)
    np.save("a.npy", want)
    m = np.load("a.npy", mmap_mode="r")
    equal(np.asarray(m), want, "mode r")
    try:
        m[0, 0] = 1
        raise AssertionError("mode r could be written")
    except ValueError:
        pass
    del m
    m = np.load("a.npy", mmap_mode="c")
    m[10:20] = -1
    assert (m[15] == -1).all()
    del m
    equal(np.load("a.npy"), want, "after mode c")
    m = np.load("a.npy", mmap_mode="r+")
    m[100:200, ::7] *= 2
    want[100:200, ::7] *= 2
    m.flush()
    equal(np.load("a.npy"), want, "mode r+, flushed")
    m[-1] = np.arange(512)
    want[-1] = np.arange(512)
    del m
    forget_pages("a.npy")
    equal(np.load("a.npy"), want, "mode r+, closed")
    m = np.memmap("w.bin", dtype="i4", mode="w+", shape=(2000, 1000))
    assert not m.any()
    m[:] = np.arange(2000000).reshape(2000, 1000)
    del m
    forget_pages("w.bin")
    equal(np.array(np.memmap("w.bin", dtype="i4", mode="r", shape=(2000, 1000))),
          np.arange(2000000, dtype="i4").reshape(2000, 1000), "mode w+")
    m = np.lib.format.open_memmap("open.npy", mode="w+", dtype="f4", shape=(100, 100))
    m[50] = 7
    del m
    assert np.load("open.npy").sum() == 700


@check
def maps_of_more_than_4_gib_with_holes(rng):
    shape = (5 << 30 >> 3,)
    places = sorted(int(i) for i in rng.integers(0, shape[0], 200))
    places += [0, (1 << 32 >> 3) - 1, 1 << 32 >> 3, shape[0] - 1]
    m = np.memmap("big.bin", dtype="f8", mode="w+", shape=shape)
    for i in places:
        m[i] = i + 0.5
    m.flush()
    del m
    forget_pages("big.bin")
    st = os.stat("big.bin")
    assert st.st_size == 5 << 30
    assert st.st_blocks * 512 < 1 << 30, f"the holes take {st.st_blocks} blocks"
    m = np.memmap("big.bin", dtype="f8", mode="r", shape=shape)
    for i in places:
        assert m[i] == i + 0.5, f"element {i}: {m[i]}"
        for near in (i - 1, i + 1):
            if 0 <= near < shape[0] and near not in places:
                assert m[near] == 0, f"element {near}: {m[near]}"


@check
def archives_of_arrays(rng):
    arrays = {"a": smooth((200, 300), "f8", rng), "b": rng.integers(0, 9, 5000),
              "c": np.zeros((3, 4, 5), dtype="c8")}
    for save, name in ((np.savez, "plain.npz"), (np.savez_compressed, "packed.npz")):
        save(name, **arrays)
        with np.load(name) as z:
            assert sorted(z.files) == sorted(arrays)
            for key, a in arrays.items():
                equal(z[key], a, f"{name}: {key}")
    np.savetxt("t.txt", arrays["a"][:20])
    assert np.allclose(np.loadtxt("t.txt"), arrays["a"][:20])


@check
def saving_again_replaces(rng):
    """The usual way to update a result: write beside, rename over."""
    for turn in range(30):
        a = smooth((50 + turn * 37, 11), "f8", rng)
        np.save("new.npy", a)
        os.replace("new.npy", "result.npy")
        equal(np.load("result.npy"), a, f"turn {turn}")
        # And in place, which truncates.
        np.save("place.npy", a[: len(a) - turn])
        equal(np.load("place.npy"), a[: len(a) - turn], f"turn {turn} in place")


@check
def appending_to_a_file_of_records(rng):
    want = []
    for _ in range(200):
        a = rng.random(int(rng.integers(1, 300)))
        with open("log.bin", "ab") as f:
            a.tofile(f)
        want.append(a)
    equal(np.fromfile("log.bin"), np.concatenate(want), "appended")


def use_database(mode, rng):
    name = f"{mode.lower()}.db"
    db = sqlite3.connect(name)
    assert db.execute(f"PRAGMA journal_mode={mode}").fetchone()[0].upper() == mode
    db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x REAL, b BLOB)")
    total = 0.0
    for turn in range(20):
        rows = [(turn * 200 + i, float(rng.random()), rng.bytes(int(rng.integers(0, 3000))))
                for i in range(200)]
        with db:
            db.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
        total += sum(row[1] for row in rows)
    # A second connection reads while the first has a transaction open (a small one: what does
    # not fit into SQLite's cache is written early, under a lock that excludes readers).
    db.execute("BEGIN IMMEDIATE")
    db.execute("DELETE FROM t WHERE id < 10")
    other = sqlite3.connect(name, timeout=0.2)
    assert other.execute("SELECT count(*) FROM t").fetchone()[0] == 4000
    try:
        other.execute("INSERT INTO t VALUES (-1, 0, '')")
        raise AssertionError(f"{mode}: two writers at once")
    except sqlite3.OperationalError:
        pass
    other.rollback()
    db.rollback()
    with db:
        db.execute("DELETE FROM t WHERE id % 2 = 0")
    db.execute("VACUUM")
    other.close()
    db.close()
    forget_pages(name)
    db = sqlite3.connect(name)
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert db.execute("SELECT count(*) FROM t").fetchone()[0] == 2000
    db.close()


@check
def sqlite_with_a_rollback_journal(rng):
    use_database("DELETE", rng)


@check
def sqlite_with_a_write_ahead_log(rng):
    use_database("WAL", rng)


@check
def zip_and_tar_files(rng):
    os.mkdir("tree")
    want = {}
    for i in range(60):
        os.makedirs(f"tree/d{i % 5}", exist_ok=True)
        name = f"tree/d{i % 5}/f{i}"
        want[name] = rng.bytes(int(rng.integers(0, 60000))) if i % 2 else b"text " * i * 50
        with open(name, "wb") as f:
            f.write(want[name])
        os.chmod(name, 0o600 + i)
        os.utime(name, (10**9 + i, 10**9 + 1000 + i))
    os.symlink("d0/f0", "tree/link")
    os.link("tree/d0/f0", "tree/hard")
    with zipfile.ZipFile("t.zip", "w", zipfile.ZIP_DEFLATED) as z:
        for name in want:
            z.write(name)
    with zipfile.ZipFile("t.zip", "a") as z:
        z.writestr("added", "later")
    with zipfile.ZipFile("t.zip") as z:
        assert z.testzip() is None
        assert z.read("added") == b"later"
        for name, data in want.items():
            assert z.read(name) == data, name
    for suffix in ("tar", "tar.gz"):
        with tarfile.open(f"t.{suffix}", "w:gz" if suffix == "tar.gz" else "w") as t:
            t.add("tree")
        os.mkdir(f"out-{suffix}")
        with tarfile.open(f"t.{suffix}") as t:
            t.extractall(f"out-{suffix}")
        for i, (name, data) in enumerate(want.items()):
            path = f"out-{suffix}/{name}"
            with open(path, "rb") as f:
                assert f.read() == data, path
            st = os.stat(path)
            assert st.st_mode & 0o7777 == 0o600 + i, path
            assert st.st_mtime == 10**9 + 1000 + i, path
        assert os.readlink(f"out-{suffix}/tree/link") == "d0/f0"
        assert os.path.samefile(f"out-{suffix}/tree/hard", f"out-{suffix}/tree/d0/f0")
    shutil.copytree("tree", "copy", symlinks=True)
    for name, data in want.items():
        with open(name.replace("tree", "copy", 1), "rb") as f:
            assert f.read() == data, name
    shutil.rmtree("copy")
    assert not os.path.exists("copy")


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__.strip().split("\n\n")[1], file=sys.stderr)
        return 2
    seed = int(sys.argv[2]) if len(sys.argv) == 3 else int.from_bytes(os.urandom(4), "little")
    print(f"numpy_use: seed {seed}")
    top = tempfile.mkdtemp(prefix="numpy_use.", dir=sys.argv[1])
    failed = 0
    for function in CHECKS:
        os.mkdir(os.path.join(top, function.__name__))
        os.chdir(os.path.join(top, function.__name__))
        try:
            function(np.random.default_rng(seed))
        except Exception as error:
            failed += 1
            frame = traceback.extract_tb(error.__traceback__)[-1]
            print(f"numpy_use.py:{frame.lineno}: {function.__name__}: "
                  f"{type(error).__name__}: {error}")
        os.chdir("/")
        shutil.rmtree(os.path.join(top, function.__name__))
    os.rmdir(top)
    print(f"numpy_use: {len(CHECKS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
