"""Real data for test_corpus.sh: put it on a volume in four ways, compare it, damage shards.

  corpus.py put CORPUS MOUNT MANIFEST    numpy.save, cp, rsync and tar x all of CORPUS, then fsync
  corpus.py check MOUNT MANIFEST [--errors-allowed]
                                         each file has the bytes, mode and time that it had; with
                                         the option a file may give EIO instead, never other bytes
  corpus.py flip SHARD COUNT SEED        flip a bit each at COUNT places of the segment files
  corpus.py stats MOUNT                  print "WRONG REPAIRED", chunks over all shards
"""
import errno
import hashlib
import io
import json
import os
import random
import subprocess
import sys

import numpy as np

PIECE = 1 << 20


def files_below(top):
    for directory, _, names in sorted(os.walk(top)):
        for name in sorted(names):
            path = os.path.join(directory, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield path


def digest_fd(fd):
    h = hashlib.sha256()
    while True:
        piece = os.read(fd, PIECE)
        if not piece:
            return h.hexdigest()
        h.update(piece)


def digest(path):
    """From the daemon, not from the kernel's pages."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        return digest_fd(fd)
    finally:
        os.close(fd)


def put_copies(corpus, mount, manifest):
    for way in ("cp", "rsync", "tar"):
        os.mkdir(os.path.join(mount, way))
    subprocess.run(["cp", "-a", corpus + "/.", mount + "/cp/"], check=True)
    subprocess.run(["rsync", "-a", corpus + "/", mount + "/rsync/"], check=True)
    tar = subprocess.Popen(["tar", "-C", corpus, "-c", "."], stdout=subprocess.PIPE)
    subprocess.run(["tar", "-C", mount + "/tar", "-x"], stdin=tar.stdout, check=True)
    if tar.wait():
        sys.exit("corpus: tar failed")
    for path in files_below(corpus):
        st, sha = os.stat(path), digest(path)
        for way in ("cp", "rsync", "tar"):
            name = os.path.join(way, os.path.relpath(path, corpus))
            # tar's own format has whole seconds.
            ns = None if way == "tar" else st.st_mtime_ns
            manifest[name] = [sha, st.st_size, st.st_mode & 0o7777, ns]


def put_arrays(corpus, mount, manifest):
    os.mkdir(os.path.join(mount, "numpy"))
    for path in files_below(corpus):
        if not path.endswith(".npy"):
            continue
        name = os.path.join("numpy", os.path.relpath(path, corpus).replace("/", "_"))
        array = np.load(path, allow_pickle=False)
        np.save(os.path.join(mount, name), array)
        want = io.BytesIO()
        np.save(want, array)
        sha = hashlib.sha256(want.getbuffer()).hexdigest()
        manifest[name] = [sha, want.getbuffer().nbytes, None, None]
        got = np.load(os.path.join(mount, name), allow_pickle=False)
        if got.dtype != array.dtype or got.tobytes() != array.tobytes():
            sys.exit(f"corpus: {name} is not the array that was saved")


def put(corpus, mount, manifest_path):
    manifest = {}
    put_copies(corpus, mount, manifest)
    put_arrays(corpus, mount, manifest)
    fd = os.open(mount, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    with open(manifest_path, "w") as f:
        json.dump(manifest, f)
    total = sum(entry[1] for entry in manifest.values())
    print(f"corpus: {len(manifest)} files, {total / 1e6:.0f} MB written")


def check(mount, manifest_path, errors_allowed):
    with open(manifest_path) as f:
        manifest = json.load(f)
    bad, unreadable = [], 0
    for name, (sha, size, mode, ns) in manifest.items():
        path = os.path.join(mount, name)
        try:
            st = os.stat(path)
            got = digest(path)
        except OSError as e:
            if not errors_allowed or e.errno != errno.EIO:
                bad.append(f"{name}: {e.strerror}")
            unreadable += 1
            continue
        if got != sha:
            bad.append(f"{name}: other bytes")
        if st.st_size != size or mode not in (None, st.st_mode & 0o7777):
            bad.append(f"{name}: size {st.st_size}, mode {st.st_mode:o}")
        if ns not in (None, st.st_mtime_ns):
            bad.append(f"{name}: time {st.st_mtime_ns}, not {ns}")
    found = sum(1 for _ in files_below(mount))
    if found != len(manifest):
        bad.append(f"{found} files are there, {len(manifest)} were written")
    for line in bad[:20]:
        print("corpus:", line, file=sys.stderr)
    if bad:
        sys.exit(f"corpus: {len(bad)} of {len(manifest)} files are not what was written")
    print(f"corpus: {len(manifest) - unreadable} files identical, {unreadable} refused with EIO")


def flip(shard, count, seed):
    rng = random.Random(seed)
    segments = [(p, os.path.getsize(p)) for p in files_below(os.path.join(shard, "seg"))]
    total = sum(size for _, size in segments)
    if not total:
        sys.exit(f"corpus: no segments in {shard}")
    for _ in range(count):
        at = rng.randrange(total)
        for path, size in segments:
            if at < size:
                break
            at -= size
        with open(path, "r+b", buffering=0) as f:
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ 1 << rng.randrange(8)]))
            os.fdatasync(f.fileno())
    print(f"corpus: {count} bits flipped in {len(segments)} segments, {total / 1e6:.0f} MB")


def stats(mount):
    with open(os.path.join(mount, ".stats.json")) as f:
        shards = json.load(f)["shards"]
    print(sum(s["wrong"] for s in shards), sum(s["repaired"] for s in shards))


def main():
    verb, *args = sys.argv[1:]
    if verb == "put":
        put(*args)
    elif verb == "check":
        check(args[0], args[1], "--errors-allowed" in args)
    elif verb == "flip":
        flip(args[0], int(args[1]), int(args[2]))
    elif verb == "stats":
        stats(args[0])
    else:
        sys.exit(__doc__)


main()
