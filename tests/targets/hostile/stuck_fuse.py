# SPDX-License-Identifier: GPL-2.0-or-later
"""A FUSE mount at DIRECTORY with one file NAME, the contents of FILE, that stops to answer when it is told to.

READY; after "stick" no request is answered, and "asked" is printed when one came. Ends with its input: then all who
wait get ENOTCONN.
"""
import ctypes
import errno
import os
import select
import struct
import sys

LOOKUP, GETATTR, OPEN, READ, STATFS, RELEASE, FLUSH, INIT, OPENDIR = 1, 3, 14, 15, 17, 18, 25, 26, 27
NO_ANSWER = 2, 36, 42  # FORGET, INTERRUPT, BATCH_FORGET
FILE_NODE = 2
FOREVER = 1 << 30  # seconds that names and attributes may be cached; layouts: Linux include/uapi/linux/fuse.h
libc = ctypes.CDLL(None, use_errno=True)
mount, name = sys.argv[1].encode(), sys.argv[2].encode()
with open(sys.argv[3], "rb") as f:
    data = f.read()


def attributes(node):
    size, mode = (len(data), 0o100755) if node == FILE_NODE else (0, 0o40755)
    return struct.pack("<6Q10I", node, size, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def answer(opcode, node, body):
    """The body of the reply, or an errno."""
    if opcode == INIT:
        return struct.pack("<IIIIHHIIHHI7I", 7, 31, 1 << 17, 0, 8, 8, 1 << 17, 1, 32, 0, 0, *[0] * 7)
    if opcode == LOOKUP and body.rstrip(b"\0") == name:
        return struct.pack("<4Q2I", FILE_NODE, 0, FOREVER, FOREVER, 0, 0) + attributes(FILE_NODE)
    if opcode == GETATTR:
        return struct.pack("<Q2I", FOREVER, 0, 0) + attributes(node)
    if opcode in (OPEN, OPENDIR):
        return struct.pack("<Q2I", 1, 0, 0)
    if opcode == READ:
        _, offset, size = struct.unpack("<QQI", body[:20])
        return data[offset:offset + size]
    if opcode == STATFS:
        return bytes(80)
    if opcode in (RELEASE, FLUSH):
        return b""
    return errno.ENOENT if opcode == LOOKUP else errno.ENOSYS


fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
if libc.mount(b"stuck", mount, b"fuse", 0, b"fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % fd):
    sys.exit("cannot mount FUSE: %s" % os.strerror(ctypes.get_errno()))
print("READY", flush=True)
stuck = False
while True:
    readable = select.select([0, fd], [], [])[0]
    if 0 in readable:
        if os.read(0, 64) != b"stick\n":
            break
        stuck = True
    if fd not in readable:
        continue
    request = os.read(fd, 1 << 18)
    _, opcode, unique, node = struct.unpack("<IIQQ", request[:24])
    if opcode in NO_ANSWER:
        continue
    if stuck:
        print("asked", flush=True)
        continue
    body = answer(opcode, node, request[40:])
    error, body = (-body, b"") if isinstance(body, int) else (0, body)
    os.write(fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
os.close(fd)  # the last of the connection
libc.umount2(mount, 2)  # MNT_DETACH
