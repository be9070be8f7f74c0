# SPDX-License-Identifier: GPL-2.0-or-later
"""60,000 mappings, and a mmap() and munmap() every 2 ms. After "go SECONDS": prints "done MEDIAN_US P99_US MAX_US"."""
import ctypes
import sys
import time

libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
for i in range(60000):
    libc.mmap(None, 4096, 3 if i & 1 else 1, 0x22, -1, 0)
print("READY", flush=True)
for line in sys.stdin:
    if not line.startswith("go"):
        break
    took = []
    end = time.monotonic() + float(line.split()[1])
    while time.monotonic() < end:
        start = time.perf_counter()
        p = libc.mmap(None, 4096, 3, 0x22, -1, 0)
        libc.munmap(ctypes.c_void_p(p), ctypes.c_size_t(4096))
        took.append(time.perf_counter() - start)
        time.sleep(0.002)
    took.sort()
    print("done %d %d %d" % tuple(1e6 * took[i] for i in (len(took) // 2, len(took) * 99 // 100, -1)), flush=True)
