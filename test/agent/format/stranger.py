#!/usr/bin/env python3
"""Restores a snapshot from an archive directory with a recovery file: written from FORMAT.md alone.

    stranger.py ARCHIVE_DIRECTORY RECOVERY_FILE TARGET_DIRECTORY [SEQUENCE]

The directory's name is the archive id. Needs the package `cryptography`, and `zstandard` or the command `zstd`.
Ends with 1, naming what is wrong, if anything cannot be read or does not match its hash.
"""

import hashlib
import hmac
import os
import stat
import struct
import subprocess
import sys
import zlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

BLOCK, PAGE, SNAPSHOT = 1, 2, 3


def read_keys(path):
    keys, title, end = {}, False, False
    every = hashlib.sha256(b"holdfast-keyfile")
    for line in open(path, encoding="latin1"):
        words = line.lower().split()
        if not words or words[0].startswith("#"):
            continue
        if not title:
            assert words == ["holdfast", "recovery", "file", "1"], "not a recovery file of version 1"
            title = True
        elif words[0] == "key":
            epoch, key = int(words[1]), bytes.fromhex("".join(words[2:-2]))
            entry = struct.pack("<I", epoch) + key
            check = hashlib.sha256(b"holdfast-keyline" + entry).hexdigest()[:8]
            assert len(key) == 32 and words[-2] == "check" and words[-1] == check, f"key {epoch} has a typing error"
            every.update(entry)
            keys[epoch] = key
        else:
            assert words == ["end", str(len(keys)), "check", every.hexdigest()[:8]], "the recovery file is not whole"
            end = True
    assert end, "the recovery file was cut"
    return keys


class Keys:
    def __init__(self, users, archive):
        def derive(epoch, context):
            return hashlib.blake2b(context + archive + struct.pack("<I", epoch), key=users[epoch], digest_size=32).digest()

        self.archive = archive
        self.seal = {epoch: derive(epoch, b"holdfast-sealing") for epoch in users}
        self.id = derive(1, b"holdfast-records")
        self.content = derive(1, b"holdfast-content")
        self.extents = derive(1, b"holdfast-extents")


def find_records(directory):
    """id → (kind, file, offset), of everything that has a whole header; goes on behind damage."""
    found = {}
    for folder, _, names in os.walk(directory):
        for name in sorted(names):
            path = os.path.join(folder, name)
            data = open(path, "rb").read()
            at = data.find(b"HFR\x01")
            while 0 <= at <= len(data) - 88:
                length = 1
                if zlib.crc32(data[at : at + 84]) == struct.unpack_from("<I", data, at + 84)[0]:
                    kind, _, clear, sealed = struct.unpack_from("<IIII", data, at + 4)
                    digest = hashlib.sha256(data[at + 88 : at + 88 + clear + sealed]).digest()
                    if clear <= 4 << 20 and sealed <= 16 << 20 and digest == data[at + 52 : at + 84]:
                        found[data[at + 20 : at + 52]] = (kind, path, at)
                        length = 88 + clear + sealed
                at = data.find(b"HFR\x01", at + length)
    return found


def xaes_open(key, nonce, associated, sealed):
    aes = Cipher(algorithms.AES(key), modes.ECB()).encryptor()
    last = int.from_bytes(aes.update(bytes(16)), "big") << 1
    k1 = (last & (1 << 128) - 1) ^ (0x87 if last >> 128 else 0)
    derived = b"".join(
        aes.update((int.from_bytes(bytes([0, i, 0x58, 0]) + nonce[:12], "big") ^ k1).to_bytes(16, "big")) for i in (1, 2)
    )
    return AESGCM(derived).decrypt(nonce[12:], sealed, associated)


def padme(n):
    if n < 2:
        return n
    e = n.bit_length() - 1
    step = 1 << max(0, e - e.bit_length())
    return (n + step - 1) // step * step


def unzstd(body, length):
    try:
        import zstandard

        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    except ImportError:
        return subprocess.run(["zstd", "-dcq"], input=body, stdout=subprocess.PIPE, check=True).stdout


def open_record(keys, place):
    """(clear part, plaintext)"""
    _, path, at = place
    with open(path, "rb") as file:
        file.seek(at)
        header = file.read(88)
        kind, epoch, clear_bytes, sealed_bytes = struct.unpack_from("<IIII", header, 4)
        clear, sealed = file.read(clear_bytes), file.read(sealed_bytes)
    record_id = header[20:52]
    associated = struct.pack("<II", kind, epoch) + record_id + keys.archive + clear
    inside = xaes_open(keys.seal[epoch], sealed[:24], associated, sealed[24:])
    codec, plain_bytes, body_bytes = struct.unpack_from("<BII", inside)
    body, padding = inside[9 : 9 + body_bytes], inside[9 + body_bytes :]
    assert len(inside) == padme(9 + body_bytes) and not any(padding) and codec in (0, 1), "bad inside"
    plaintext = unzstd(body, plain_bytes) if codec == 1 else body
    assert len(plaintext) == plain_bytes, "bad length"
    assert hmac.new(keys.id, bytes([kind]) + plaintext, "sha256").digest() == record_id, "bad id"
    return clear, plaintext


TYPED = {69: "H", 70: "I", 71: "Q", 79: "q", 86: "d"}


def cbor(data, at=0):
    """(value, end)"""
    major, n = data[at] >> 5, data[at] & 31
    at += 1
    if n >= 24:
        size = {24: 1, 25: 2, 26: 4, 27: 8}[n]
        n = int.from_bytes(data[at : at + size], "big")
        at += size
    if major == 0:
        return n, at
    if major in (2, 3):
        value = bytes(data[at : at + n])
        return (value if major == 2 else value.decode()), at + n
    if major in (4, 5):
        items = []
        for _ in range(n * (major - 3)):
            item, at = cbor(data, at)
            items.append(item)
        return (items if major == 4 else dict(zip(items[::2], items[1::2]))), at
    assert major == 6, "a type of CBOR that has no place here"
    value, at = cbor(data, at)
    return list(struct.unpack(f"<{len(value) // struct.calcsize(TYPED[n])}{TYPED[n]}", value)), at


def entries_of(page, clear):
    above = page["parents"].split(b"/") if page["parents"] else []
    name_at = extent_at = content_at = target_at = targets = devices = 0
    for i, depth in enumerate(page["depth"]):
        name = page["names"][name_at : name_at + page["name_bytes"][i]]
        name_at += page["name_bytes"][i]
        assert name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name, "a bad name"
        assert 1 <= depth <= len(above) + 1, "a bad depth"
        above = above[: depth - 1] + [name]
        mode = page["mode"][i]
        entry = {
            "path": b"/".join(above),
            "mode": mode,
            "size": int(page["size"][i]),
            "mtime_ns": page["mtime_ns"][i],
            "owner": (page["uid"][i], page["gid"][i]),
            "link": (page["devices"][page["dev"][i]], page["ino"][i]) if page["nlink"][i] > 1 else None,
            "continuation": bool(page["flags"][i] & 2),
            "content": None,
            "extents": [],
            "xattrs": [],
            "holes": [],
        }
        if page["flags"][i] & 1:
            entry["content"] = page["content"][content_at : content_at + 32]
            content_at += 32
        for at in range(extent_at, extent_at + page["extents"][i]):
            block = page["extent_block"][at] * 32
            entry["extents"].append((clear[block : block + 32], page["extent_offset"][at], page["extent_length"][at]))
        extent_at += page["extents"][i]
        if stat.S_ISLNK(mode):
            entry["target"] = page["targets"][target_at : target_at + page["target_bytes"][targets]]
            target_at += page["target_bytes"][targets]
            targets += 1
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            entry["rdev"] = os.makedev(*page["rdev"][devices * 2 : devices * 2 + 2])
            devices += 1
        if page["xattr_set"] and page["xattr_set"][i]:
            flat = page["xattr_sets"][page["xattr_set"][i] - 1]
            entry["xattrs"] = list(zip(flat[::2], flat[1::2]))
        for at, owner in enumerate(page["hole_entry"]):
            if owner == i:
                entry["holes"].append((int(page["hole_offset"][at]), int(page["hole_length"][at])))
        yield entry


class Restore:
    def __init__(self, keys, records, target):
        self.keys, self.records, self.target = keys, records, os.fsencode(target)
        self.last, self.links, self.directories, self.parts = (None, None), {}, [], []

    def block(self, record_id):
        if self.last[0] != record_id:
            self.last = (record_id, open_record(self.keys, self.records[record_id])[1])
        return self.last[1]

    def flush(self):
        """Writes the file whose parts are all there."""
        if not self.parts:
            return
        entry, path = self.parts[0], os.path.join(self.target, self.parts[0]["path"])
        extents = [extent for part in self.parts for extent in part["extents"]]
        stored = sum(length for _, _, length in extents)
        assert stored + sum(length for _, length in entry["holes"]) == entry["size"], "parts of a file are missing"
        hash_ = hashlib.blake2b(key=self.keys.content, digest_size=32)
        if stored > 4096:
            hash_ = hmac.new(self.keys.content if stored < 1 << 20 else self.keys.extents, digestmod="sha256")
        holes = dict(entry["holes"])
        with open(path, "wb") as file:
            for block, offset, length in extents:
                data = self.block(block)[offset : offset + length]
                assert len(data) == length, "an extent leaves its block"
                hash_.update(data if stored < 1 << 20 else block + struct.pack("<II", offset, length))
                while data:
                    if file.tell() in holes:
                        file.seek(holes[file.tell()], 1)
                    room = min([at - file.tell() for at in holes if at > file.tell()] + [len(data)])
                    file.write(data[:room])
                    data = data[room:]
            file.truncate(entry["size"])
        assert stored == 0 or hash_.digest() == entry["content"], "the content is not what it was"
        self.parts = []
        self.dress(path, entry)

    def dress(self, path, entry):
        is_link = stat.S_ISLNK(entry["mode"])
        if os.geteuid() == 0:
            os.chown(path, *entry["owner"], follow_symlinks=False)
        if not is_link:
            os.chmod(path, stat.S_IMODE(entry["mode"]))
        for name, value in entry["xattrs"]:
            try:
                os.setxattr(path, name, value, follow_symlinks=False)
            except OSError as error:
                print(f"{os.fsdecode(path)}: xattr {os.fsdecode(name)}: {error.strerror}", file=sys.stderr)
        os.utime(path, ns=(entry["mtime_ns"], entry["mtime_ns"]), follow_symlinks=False)

    def put(self, entry):
        if not entry["continuation"]:
            self.flush()
        path, mode = os.path.join(self.target, entry["path"]), entry["mode"]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if stat.S_ISREG(mode):
            if entry["link"] and entry["link"] in self.links:
                return os.link(os.path.join(self.target, self.links[entry["link"]]), path)
            self.links[entry["link"]] = entry["path"]
            self.parts.append(entry)
        elif stat.S_ISDIR(mode):
            os.makedirs(path, exist_ok=True)
            self.directories.append((path, entry))
        else:
            if stat.S_ISLNK(mode):
                os.symlink(entry["target"], path)
            elif stat.S_ISFIFO(mode):
                os.mkfifo(path)
            elif os.geteuid() == 0:
                os.mknod(path, mode, entry["rdev"])
            else:
                return print(f"{os.fsdecode(path)}: device nodes need root", file=sys.stderr)
            self.dress(path, entry)

    def finish(self):
        self.flush()
        for path, entry in reversed(self.directories):
            self.dress(path, entry)


def main(archive_directory, key_file, target, sequence=None):
    keys = Keys(read_keys(key_file), bytes.fromhex(os.path.basename(os.path.normpath(archive_directory))))
    records = find_records(archive_directory)
    snapshots = {}
    for place in [place for place in records.values() if place[0] == SNAPSHOT]:
        clear, plaintext = open_record(keys, place)
        snapshots[struct.unpack_from("<Q", clear)[0]] = (clear[40:], cbor(plaintext)[0])
    assert snapshots, "no snapshot is there"
    pages, about = snapshots[int(sequence) if sequence else max(snapshots)]
    restore = Restore(keys, records, target)
    count = 0
    for at in range(0, len(pages), 32):
        clear, plaintext = open_record(keys, records[pages[at : at + 32]])
        for entry in entries_of(cbor(plaintext)[0], clear):
            restore.put(entry)
            count += 1
    restore.finish()
    print(f"snapshot {about['sequence']} of {about['hostname']}: {count} entries")


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
