"""The arrays of scripts/demo: demo.py save|check SAMPLES DIR.

save   load each array of SAMPLES and numpy.save it into DIR, which is made, with an fsync
check  numpy.load each from DIR and compare it with SAMPLES: type, shape, and every byte
"""
import os
import sys

import numpy as np


def save(name, array, directory):
    with open(os.path.join(directory, name), "wb") as f:
        np.save(f, array)
        f.flush()
        os.fsync(f.fileno())


def check(name, array, directory):
    got = np.load(os.path.join(directory, name), allow_pickle=False)
    if got.dtype != array.dtype or got.shape != array.shape or got.tobytes() != array.tobytes():
        sys.exit(f"demo: {directory}/{name} is not what was saved")


def main():
    verb, samples, directory = sys.argv[1:]
    act = {"save": save, "check": check}[verb]
    names = sorted(n for n in os.listdir(samples) if n.endswith(".npy"))
    if not names:
        sys.exit(f"demo: no arrays in {samples}")
    if verb == "save":
        os.makedirs(directory)
    total = 0
    for name in names:
        array = np.load(os.path.join(samples, name), allow_pickle=False)
        act(name, array, directory)
        total += array.nbytes
    done = {"save": "saved", "check": "identical"}[verb]
    print(f"   {os.path.basename(directory)}: {len(names)} arrays, {total / 1e6:.1f} MB {done}")


main()
