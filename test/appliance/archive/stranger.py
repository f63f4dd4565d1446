#!/usr/bin/env python3
"""Lists the intact records of an archive directory: written from FORMAT-archive.md alone, with the standard library only.

    stranger.py ARCHIVE_DIRECTORY [--footers]

Prints a line of JSON for each record (segment, offset, length, kind, id, received_ms, and the SHA-256 of the whole record)
and for each bad range (segment, offset, length, torn). With --footers, segments that are sealed are listed by their footers.
"""

import hashlib
import json
import os
import re
import struct
import sys
import zlib

SEGMENT_HEADER, FOOTER, MARK, SNAPSHOT = 16, 17, 18, 3
KINDS = {1, 2, 3, 4, 5, SEGMENT_HEADER, FOOTER, MARK}
OWN = {SEGMENT_HEADER, FOOTER, MARK}


class Record:
    def __init__(self, data, at, kind, clear_bytes, sealed_bytes):
        self.offset, self.kind = at, kind
        self.length = 88 + clear_bytes + sealed_bytes
        self.id, self.digest = data[at + 20 : at + 52], data[at + 52 : at + 84]
        self.clear = data[at + 88 : at + 88 + clear_bytes]
        self.is_whole = at + self.length <= len(data)
        self.body = (at + 88, at + self.length)
        # Of an own record: what its id says.
        self.archive, self.segment, self.own_offset, self.nonce = self.id[:16], *struct.unpack("<II", self.id[16:24]), self.id[24:]

    def is_intact(self, data):
        return self.is_whole and hashlib.sha256(data[slice(*self.body)]).digest() == self.digest

    def is_in_place(self, archive, segment, nonce):
        return (
            self.segment == segment
            and self.own_offset == self.offset
            and archive in (None, self.archive)
            and nonce in (None, self.nonce)
        )


def header_at(data, at):
    """The record whose well-formed header begins there, or None."""
    if at + 88 > len(data) or data[at : at + 4] != b"HFR\x01":
        return None
    if zlib.crc32(data[at : at + 84]) != struct.unpack_from("<I", data, at + 84)[0]:
        return None
    kind, _, clear_bytes, sealed_bytes = struct.unpack_from("<IIII", data, at + 4)
    if kind not in KINDS or clear_bytes > 4 << 20 or sealed_bytes > 16 << 20:
        return None
    return Record(data, at, kind, clear_bytes, sealed_bytes)


def next_header(data, at):
    while (at := data.find(b"HFR\x01", at)) >= 0:
        if header_at(data, at):
            return at
        at += 1
    return len(data)


def first_own(data, segment):
    """The segment header, or else the mark behind it."""
    for at, kind in ((0, SEGMENT_HEADER), (96, MARK)):
        record = header_at(data, at)
        if record and record.kind == kind and record.is_intact(data) and record.is_in_place(None, segment, None):
            return record
    return None


def read_footer(data, archive, segment):
    """(footer, record rows, {row: received}, torn rows), or None."""
    if len(data) < 8 or data[-4:] != b"HFSE":
        return None
    length = struct.unpack("<I", data[-8:-4])[0]
    record = header_at(data, len(data) - length) if length <= len(data) else None
    if not record or record.kind != FOOTER or record.length != length or not record.is_intact(data):
        return None
    first = first_own(data, segment)
    nonce = first.nonce if first and first.archive == archive else None
    if not record.is_in_place(archive, segment, nonce) or len(record.clear) < 24 or record.length != 88 + len(record.clear):
        return None
    record_rows, snapshot_rows, torn_rows, zero = struct.unpack_from("<IIII", record.clear)
    if zero or 16 + 44 * record_rows + 20 * snapshot_rows + 8 * torn_rows + 8 != len(record.clear):
        return None
    rows, end, at = [], 0, 16
    for _ in range(record_rows):
        row_id, offset, row_length, kind = struct.unpack_from("<32sIII", record.clear, at)
        if offset < end or row_length < 88 or offset + row_length > record.offset or kind not in KINDS:
            return None
        rows.append((row_id, offset, row_length, kind))
        end, at = offset + row_length, at + 44
    received = {}
    for _ in range(snapshot_rows):
        row, _, time = struct.unpack_from("<IQQ", record.clear, at)
        if row >= len(rows) or rows[row][3] != SNAPSHOT:
            return None
        received[row], at = time, at + 20
    return record, rows, received, [struct.unpack_from("<II", record.clear, at + 8 * i) for i in range(torn_rows)]


def walk(data, archive, segment):
    """(records with their times, bad ranges, proven offset)"""
    records, bad, proven, nonce, received, at = [], [], 0, None, 0, 0
    while at < len(data):
        record = header_at(data, at)
        if record and not record.is_whole:
            bad.append((at, len(data) - at))
            break
        if not record or (record.kind in OWN and not record.is_in_place(archive, segment, nonce)):
            after = next_header(data, at + 1)
            bad.append((at, after - at))
            at = after
            continue
        if not record.is_intact(data):
            bad.append((at, record.length))
        elif record.kind in OWN:
            nonce = record.nonce
            if record.kind == FOOTER:
                proven = max(proven, at)
            elif record.kind == SEGMENT_HEADER and len(record.clear) == 8:
                received = struct.unpack("<Q", record.clear)[0]
            elif record.kind == MARK and len(record.clear) == 12:
                time, durable = struct.unpack("<QI", record.clear)
                if durable <= at:
                    received, proven = time, max(proven, durable)
        else:
            records.append((record, received))
        at += record.length
    return records, bad, proven


def tell_apart(bad, proven):
    for offset, length in bad:
        damaged = min(max(proven - offset, 0), length)
        if damaged:
            yield offset, damaged, False
        if damaged < length:
            yield offset + damaged, length - damaged, True


def list_segment(data, archive, segment, is_newest, by_footer):
    footer = read_footer(data, archive, segment)
    if footer and by_footer:
        for row, (row_id, offset, length, kind) in enumerate(footer[1]):
            yield {"segment": segment, "offset": offset, "length": length, "kind": kind, "id": row_id.hex(), "received_ms": footer[2].get(row, 0)}
        return
    records, bad, proven = walk(data, archive, segment)
    for record, received in records:
        whole = data[record.offset : record.offset + record.length]
        yield {
            "segment": segment,
            "offset": record.offset,
            "length": record.length,
            "kind": record.kind,
            "id": record.id.hex(),
            "received_ms": received,
            "sha256": hashlib.sha256(whole).hexdigest(),
        }
    if footer:
        told = [(o, n, any(t <= o and o + n <= t + m for t, m in footer[3])) for o, n in bad]
    elif is_newest:
        told = list(tell_apart(bad, proven))
    else:
        told = [(o, n, False) for o, n in bad] or [(len(data), 0, False)]
    for offset, length, torn in told:
        yield {"segment": segment, "offset": offset, "length": length, "torn": torn}


def archive_of(directory, files):
    """The directory's name, unless the first segments name others only."""
    votes = {}
    for number in sorted(files)[:16]:
        data = files[number]()
        record = first_own(data, number)
        at = 0
        while not record and at < len(data):
            found = header_at(data, at)
            is_own = found and found.kind in OWN and found.is_in_place(None, number, None)
            if is_own and found.is_intact(data):
                record = found
            elif found and found.is_whole and (is_own or found.kind not in OWN):
                at += found.length
            else:
                at = next_header(data, at + 1)
        if record:
            votes[record.archive] = votes.get(record.archive, 0) + 1
    name = os.path.basename(os.path.abspath(directory))
    own = bytes.fromhex(name) if re.fullmatch("[0-9a-f]{32}", name) else None
    if own in votes or not votes:
        return own
    return max(votes, key=votes.get)


def main():
    directory = sys.argv[1]

    def reader(name):
        return lambda: open(os.path.join(directory, name), "rb").read()

    files = {}
    for name in os.listdir(directory):
        number = int(name[:-8]) if re.fullmatch(r"[0-9]{8,10}\.segment", name) else 0
        if 1 <= number < 1 << 32 and name == f"{number:08}.segment":
            files[number] = reader(name)
    archive = archive_of(directory, files)
    if not files or archive is None:
        sys.exit("no archive in " + directory)
    newest = max(files)
    for segment in range(1, newest + 1):
        if segment not in files:
            print(json.dumps({"segment": segment, "offset": 0, "length": 0, "torn": False}))
            continue
        for line in list_segment(files[segment](), archive, segment, segment == newest, "--footers" in sys.argv):
            print(json.dumps(line))


main()
