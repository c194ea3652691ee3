"""Real arrays from two Debian packages, as .npy files: samples.py USR_SHARE OUT (see scripts/samples).

What was measured is saved in the type it was measured in; what is computed from it (slopes,
spectra) in that of its result, as a program at work on it would. A source that a release of a
package lacks is left out; with fewer than three left the program fails.
"""
import glob
import gzip
import os
import sys
import wave

import numpy as np


def elevation(share):
    """Metres above the sea, on a grid."""
    with np.load(share + "/matplotlib/mpl-data/sample_data/jacksboro_fault_dem.npz") as z:
        dem = z["elevation"]
        slope = np.hypot(*np.gradient(dem.astype("f8"), abs(float(z["dy"])), abs(float(z["dx"]))))
    return {"elevation_i16": dem, "slope_f64": slope}


def sea_floor(share):
    with np.load(share + "/matplotlib/mpl-data/sample_data/topobathy.npz") as z:
        return {"topobathy_f32": z["topo"]}


def head(share):
    """One slice of a magnetic resonance scan, and its spatial spectrum."""
    with gzip.open(share + "/matplotlib/mpl-data/sample_data/s1045.ima.gz") as f:
        scan = np.frombuffer(f.read(), np.uint16).reshape(256, 256)
    return {"mri_u16": scan, "mri_spectrum_c128": np.fft.fft2(scan)}


def brain_waves(share):
    eeg = np.fromfile(share + "/matplotlib/mpl-data/sample_data/eeg.dat", "f8")
    return {"eeg_f64": eeg.reshape(-1, 4)}


def prices(share):
    """A structured array: dates, floats and integers in one record."""
    with np.load(share + "/matplotlib/mpl-data/sample_data/goog.npz") as z:
        return {"prices_rec": z["price_data"]}


def speech(share):
    """Samples as recorded, and short-time spectra: 1024 samples, a new one each 128."""
    names = sorted(glob.glob(share + "/sounds/alsa/*.wav"))
    pcm = []
    for name in names:
        with wave.open(name) as w:
            pcm.append(np.frombuffer(w.readframes(w.getnframes()), "<i2"))
    pcm = np.concatenate(pcm)
    windows = np.lib.stride_tricks.sliding_window_view(pcm, 1024)[::128]
    spectra = np.fft.rfft(windows * np.hanning(1024), axis=1)
    return {
        "speech_i16": pcm,
        "speech_spectra_c64": spectra.astype("c8"),
        "speech_power_f32": (np.abs(spectra) ** 2).astype("f4"),
    }


def main():
    share, out = sys.argv[1:]
    sources = (elevation, sea_floor, head, brain_waves, prices, speech)
    found = 0
    for source in sources:
        try:
            arrays = source(share)
        except (OSError, KeyError, ValueError) as e:
            print(f"samples: no {source.__name__}: {e}", file=sys.stderr)
            continue
        found += 1
        for name, array in arrays.items():
            np.save(os.path.join(out, name + ".npy"), array)
    if found < 3:
        sys.exit("samples: too few of the data sets are in these packages")


main()
