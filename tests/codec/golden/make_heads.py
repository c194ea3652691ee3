#!/usr/bin/python3
"""Write golden/head/: heads of files as their own libraries write them, cut behind what tells.

    make_heads.py DIR       needs numpy, h5py, netCDF4, astropy, nibabel, and teem-unu (teem-apps)

What each of them must be read as stands in test_head.c. Other versions of the libraries may write
other offsets. safetensors is not packaged; its file is written by hand.
"""
import io
import json
import os
import struct
import subprocess
import sys

import h5py
import netCDF4
import nibabel
import numpy as np
from astropy.io import fits

PATH = sys.argv[1]


def path(name):
    return os.path.join(PATH, name)


def cut(name, length):
    with open(path(name), 'r+b') as f:
        f.truncate(min(length, os.path.getsize(path(name))))


class Pipe(io.RawIOBase):
    """A file that cannot seek."""

    def __init__(self, f):
        self.f = f

    def writable(self):
        return True

    def seekable(self):
        return False

    def write(self, b):
        return self.f.write(b)


def make_npy():
    np.save(path('plain.npy'), np.zeros((30, 40)))
    np.save(path('fortran.npy'), np.asfortranarray(np.zeros((30, 40, 3), '>i2')))
    np.save(path('record.npy'), np.zeros(5, [('a', '<f4'), ('b', '<c8'), ('v', '<f4', (3, 3))]))
    np.save(path('scalar.npy'), np.float32(3))
    np.save(path('text.npy'), np.zeros(500, 'U7'))
    for name in ('plain', 'fortran', 'record', 'scalar', 'text'):
        cut(name + '.npy', 192)


def make_npz():
    arrays = {'x': np.zeros((3, 40)), 'y': np.zeros(7, 'i2'), 'z': np.zeros((4, 5, 3), 'f4')}
    np.savez(path('plain.npz'), **arrays)
    with open(path('stream.npz'), 'wb') as f:
        np.savez(Pipe(f), **arrays)
    np.savez_compressed(path('deflated.npz'), **arrays)


def fill_hdf5(name, **options):
    with h5py.File(path(name), 'w', **options) as f:
        f['x'] = np.zeros((10, 20))
        f['g/c'] = np.zeros((30, 4), 'c16')
        f['g/h/i'] = np.zeros((4, 5, 3), '>i2')
        f['b'] = np.zeros(5, '?')


def chunk_hdf5(name, **options):
    with h5py.File(path(name), 'w', **options) as f:
        f.create_dataset('x', (100, 200), 'f4', chunks=(10, 50))
        f.create_dataset('n', (0,), 'f4', chunks=(100,), maxshape=(None,))
        f['t'] = np.zeros(5)


def make_hdf5():
    fill_hdf5('old.h5')
    fill_hdf5('new.h5', libver='latest')
    fill_hdf5('userblock.h5', userblock_size=512)
    chunk_hdf5('chunked_old.h5')
    chunk_hdf5('chunked_new.h5', libver='latest')
    with h5py.File(path('types.h5'), 'w', libver='latest') as f:
        f['rec'] = np.zeros(5, [('a', '<f4'), ('b', '<f4')])
        f['rec2'] = np.zeros(5, [('a', '<f4'), ('b', '<f8')])
        f['s'] = np.zeros(3, 'S5')
        f['u'] = 'text'
        f['half'] = np.zeros((4, 6), 'f2')
        f['long'] = np.zeros((4, 6), np.longdouble)
        f.create_dataset('sub', (4,), np.dtype(('<i4', (3,))))[...] = np.ones((4, 3), 'i4')
    with h5py.File(path('heap.h5'), 'w', track_order=True) as f:
        for i in range(12):
            f['d%d' % i] = np.zeros(4 + i, 'f4')
    with h5py.File(path('gzip.h5'), 'w') as f:
        f.create_dataset('x', (100, 200), 'f4', chunks=(10, 50), compression='gzip')[...] = 1
        f['y'] = np.zeros((5, 6))
    with h5py.File(path('single.h5'), 'w', libver='latest') as f:
        f.create_dataset('x', (10, 20), 'f4', chunks=(10, 20))[...] = 1
    for name in ('old', 'new', 'userblock', 'chunked_old', 'chunked_new', 'types', 'heap', 'gzip', 'single'):
        cut(name + '.h5', 8192)


def make_netcdf():
    formats = {'cdf1.nc': 'NETCDF3_CLASSIC', 'cdf2.nc': 'NETCDF3_64BIT_OFFSET',
               'cdf5.nc': 'NETCDF3_64BIT_DATA', 'netcdf4.nc': 'NETCDF4'}
    for name, form in formats.items():
        d = netCDF4.Dataset(path(name), 'w', format=form)
        d.createDimension('t', None)
        d.createDimension('y', 20)
        d.createDimension('x', 30)
        d.title = 'hello'
        lat = d.createVariable('lat', 'f8', ('y',))
        lat.units = 'degrees'
        lat[:] = 0
        d.createVariable('g', 'i2', ('y', 'x'))[:] = 0
        for r in ('r', 'r2'):
            d.createVariable(r, 'f4', ('t', 'y', 'x'))[0:2] = 0
        d.close()
        cut(name, 8192 if form == 'NETCDF4' else 512)


def make_fits():
    columns = [fits.Column('a', 'D', array=np.zeros(6)), fits.Column('b', '3D', array=np.zeros((6, 3)))]
    units = [fits.PrimaryHDU(), fits.ImageHDU(np.zeros((3, 10, 20), 'u2')),
             fits.BinTableHDU.from_columns(columns)]
    fits.PrimaryHDU(np.zeros((10, 20), 'f4')).writeto(path('image.fits'))
    fits.HDUList(units).writeto(path('units.fits'))
    cut('image.fits', 2880)
    cut('units.fits', 4 * 2880)


def make_nifti():
    nibabel.Nifti1Image(np.zeros((7, 8, 9), 'i2'), np.eye(4)).to_filename(path('one.nii'))
    nibabel.Nifti2Image(np.zeros((7, 8, 9, 2), 'f4'), np.eye(4)).to_filename(path('two.nii'))
    head = nibabel.Nifti1Header(endianness='>')
    head.set_data_dtype('>f8')
    nibabel.Nifti1Image(np.zeros((7, 8, 9), '>f8'), np.eye(4), head).to_filename(path('big.nii'))
    for name in ('one', 'two', 'big'):
        cut(name + '.nii', 576)


def make_nrrd():
    def unu(*args, **options):
        return subprocess.run(('teem-unu',) + args, check=True, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, **options).stdout

    numbers = ' '.join(str(i) for i in range(5 * 6 * 7)).encode()
    array = unu('make', '-i', '-', '-t', 'ushort', '-s', '5', '6', '7', '-e', 'ascii', input=numbers)
    for name, args in (('big.nrrd', ('-e', 'raw', '-en', 'big')), ('gzip.nrrd', ('-e', 'gzip'))):
        unu('save', '-f', 'nrrd', *args, '-o', path(name), input=array)


def make_safetensors():
    tensors = {'__metadata__': {'format': 'pt'}}
    off = 0
    for name, dtype, shape, size in (('emb', 'BF16', [100, 64], 2), ('head.w', 'F32', [10, 64], 4),
                                     ('head.b', 'F32', [10], 4), ('mask', 'BOOL', [100], 1)):
        length = size * int(np.prod(shape))
        tensors[name] = {'dtype': dtype, 'shape': shape, 'data_offsets': [off, off + length]}
        off += length
    text = json.dumps(tensors, separators=(',', ':')).encode()
    text += b' ' * (-len(text) % 8)
    with open(path('plain.safetensors'), 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text)


if __name__ == '__main__':
    os.makedirs(PATH, exist_ok=True)
    for make in (make_npy, make_npz, make_hdf5, make_netcdf, make_fits, make_nifti, make_nrrd,
                 make_safetensors):
        make()
