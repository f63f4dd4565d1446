"""Prints what every file below a folder is, one line each, in order of the names' bytes; the same for equal trees.

Walks by open directories, so that no path is too long. Python's own calls, nothing of Holdfast.
"""
import hashlib
import os
import stat
import sys


def facts(name, at):
    s = os.lstat(name, dir_fd=at)
    kind = stat.S_IFMT(s.st_mode)
    own = [oct(s.st_mode), s.st_uid, s.st_gid, s.st_mtime_ns, s.st_nlink if kind != stat.S_IFDIR else "-"]
    if kind == stat.S_IFLNK:
        return own + [os.fsencode(os.readlink(name, dir_fd=at)).hex()]
    if kind in (stat.S_IFCHR, stat.S_IFBLK):
        return own + [os.major(s.st_rdev), os.minor(s.st_rdev)]
    if kind == stat.S_IFREG:
        return own + [s.st_size, *content(name, at, s)]
    return own


def content(name, at, s):
    fd = os.open(name, os.O_RDONLY, dir_fd=at)
    xattrs = [(key, os.getxattr(fd, key).hex()) for key in sorted(os.listxattr(fd))]
    digest = hashlib.sha256()
    place = 0
    while place < s.st_size:
        try:
            start = os.lseek(fd, place, os.SEEK_DATA)
        except OSError:
            break
        end = os.lseek(fd, start, os.SEEK_HOLE)
        os.lseek(fd, start, os.SEEK_SET)
        while start < end:
            part = os.read(fd, min(1 << 20, end - start))
            # What a hole is differs by file system; only bytes that are not zero count, with their places.
            if part.strip(b"\0"):
                for i in range(0, len(part), 4096):
                    block = part[i : i + 4096].rstrip(b"\0")
                    if block:
                        digest.update(b"%d:" % (start + i) + block)
            start += len(part)
        place = end
    os.close(fd)
    is_sparse = s.st_size > 1 << 22 and s.st_blocks * 512 < s.st_size / 2
    return [digest.hexdigest(), xattrs, "sparse" if is_sparse else "full"]


def walk(at, prefix):
    for name in sorted(os.listdir(at), key=os.fsencode):
        raw = os.fsencode(name)
        path = prefix + b"/" + raw
        shown = path.hex() if len(path) < 200 else hashlib.sha256(path).hexdigest() + ":" + str(len(path))
        print(shown, *facts(name, at))
        if stat.S_ISDIR(os.lstat(name, dir_fd=at).st_mode):
            inside = os.open(name, os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
            walk(inside, path)
            os.close(inside)


walk(os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY), b"")
