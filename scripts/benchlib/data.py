"""What is stored: arrays such as programs save, random bytes, trees of small files.  The same in every run."""
import glob
import os

import numpy as np


def field(rows, cols, seed):
    """A measured field: long and short waves, noise in the last of its digits.  float32."""
    rng = np.random.default_rng(seed)
    y, x = np.arange(rows, dtype="f4")[:, None], np.arange(cols, dtype="f4")[None, :]
    out = np.zeros((rows, cols), "f4")
    for length in (977, 211, 53):
        out += np.sin(y / length) * np.cos(x / (length * 0.7)) * (length / 50)
    noise = rng.standard_normal(1 << 20, dtype="f4") * 0.02
    flat = out.reshape(-1)
    for at in range(0, flat.size, noise.size):
        piece = flat[at:at + noise.size]
        piece += noise[:piece.size]
    flat *= 64
    np.rint(flat, out=flat)
    flat /= 64
    return out


def made_up(nr_bytes):
    """Twelve arrays of as many kinds, all together about @nr_bytes."""
    rng, each = np.random.default_rng(1), nr_bytes // 12
    side = int((each / 4) ** 0.5)
    walk = np.cumsum(rng.integers(-3, 4, (side * 2, side)), axis=0)
    t = np.arange(each // 2)
    return [
        ("field_f32", field(side, side, 2)),
        ("field_f64", field(side // 2, side, 3).astype("f8")),
        ("terrain_i16", (walk + np.cumsum(rng.integers(-3, 4, (side * 2, side)), axis=1)).astype("i2")),
        ("scan_u16", (field(side * 2, side, 4) * 40 + 1000).astype("u2")),
        ("photo_u8", (field(side * 4, side, 5) * 3 + rng.integers(0, 6, (side * 4, side)) + 100).astype("u1")),
        ("sound_i16", (3000 * np.sin(t / 37) * np.sin(t / 9000) + rng.normal(0, 40, t.size)).astype("i2")),
        ("weights_f32", rng.normal(0, 0.02, each // 4).astype("f4")),
        ("weights_f16", rng.normal(0, 0.02, each // 2).astype("f2")),
        ("index_i64", np.cumsum(rng.integers(1, 90, each // 8))),
        ("prices_f64", np.round(100 + np.cumsum(rng.normal(0, 0.05, each // 8)), 2)),
        ("sparse_f64", np.where(rng.random(each // 8) < 0.05, rng.integers(1, 99, each // 8), 0).astype("f8")),
        ("noise_f64", rng.standard_normal(each // 8)),
    ]


def arrays(nr_bytes, corpus):
    """(name, array) pairs of about @nr_bytes: the .npy files of directory @corpus that fit, or made up."""
    if not corpus:
        return made_up(nr_bytes)
    out, total = [], 0
    for path in sorted(glob.glob(f"{corpus}/*.npy")):
        a = np.load(path)
        if total + a.nbytes <= nr_bytes:
            out.append((os.path.basename(path)[:-4], a))
            total += a.nbytes
    if not out:
        raise ValueError(f"{corpus}: no .npy file that fits in {nr_bytes} bytes")
    return out


def random_bytes(nr):
    return np.random.default_rng(6).bytes(nr)


def tree(top, nr):
    """@nr files of 64 bytes to 8 KiB (a kilobyte and a half on average), a hundred to a directory.  Their bytes."""
    rng = np.random.default_rng(8)
    text = " ".join(f"{x:.4f}" for x in rng.normal(0, 10, 20000)).encode()
    sizes = np.exp(rng.uniform(np.log(64), np.log(8192), nr)).astype(int)
    starts = rng.integers(0, len(text) - 8192, nr)
    for i, (size, start) in enumerate(zip(sizes, starts)):
        directory = f"{top}/d{i // 100:04}"
        if i % 100 == 0:
            os.makedirs(directory)
        with open(f"{directory}/f{i:06}", "wb") as f:
            f.write(text[start:start + size])
    return int(sizes.sum())
