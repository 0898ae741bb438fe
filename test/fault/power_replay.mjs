/*
 * power_replay - from a copy of a folder and the journal of what was done to it, a state a power cut could
 * have left. See power.h for the journal and the rules of durability.
 *
 * Everything synced is in the result. What was not synced is dropped, kept, or kept in part (whole sectors of 512
 * bytes, and lengths without their data), by seed; entries of folders likewise, one by one.
 */
import fs from 'node:fs';
import path from 'node:path';

const MAGIC = 0x50575230;
const HEAD_BYTES = 40;
const SECTOR = 512;
export const KIND = ['OPEN', 'CREATE', 'WRITE', 'TRUNCATE', 'EXTEND', 'SYNC', 'SYNC_DIR', 'RENAME',
  'UNLINK', 'MKDIR', 'RMDIR'];

/** A small seeded generator (mulberry32): the same seed cuts the power the same way. */
export function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** The journal's records; a torn last one (the process was killed in it) is left out. */
export function readJournal(file) {
  const records = [];
  const fd = fs.openSync(file, 'r');
  const size = fs.fstatSync(fd).size;
  const head = Buffer.alloc(HEAD_BYTES);
  let at = 0;
  while (at + HEAD_BYTES <= size) {
    fs.readSync(fd, head, 0, HEAD_BYTES, at);
    if (head.readUInt32LE(0) !== MAGIC) throw new Error(`journal: no record at ${at}`);
    const pathBytes = head.readUInt32LE(32);
    const dataBytes = head.readUInt32LE(36);
    if (at + HEAD_BYTES + pathBytes + dataBytes > size) break;
    const kind = KIND[head.readUInt32LE(4)];
    const tail = Buffer.alloc(pathBytes + (kind === 'RENAME' ? dataBytes : 0));
    fs.readSync(fd, tail, 0, tail.length, at + HEAD_BYTES);
    records.push({
      kind,
      file: Number(head.readBigUInt64LE(8)),
      offset: Number(head.readBigUInt64LE(16)),
      begin: Number(head.readBigUInt64LE(24)),
      path: tail.toString('utf8', 0, pathBytes),
      to: kind === 'RENAME' ? tail.toString('utf8', pathBytes) : null,
      dataAt: at + HEAD_BYTES + pathBytes,
      dataBytes,
    });
    at += HEAD_BYTES + pathBytes + dataBytes;
  }
  return { records, fd };
}

function walk(dir, below, each) {
  for (const entry of fs.readdirSync(path.join(dir, below), { withFileTypes: true })) {
    const name = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) {
      each(name, true);
      walk(dir, name, each);
    } else if (entry.isFile()) {
      each(name, false);
    }
  }
}

const parentOf = (name) => (name.includes('/') ? name.slice(0, name.lastIndexOf('/')) : '');

/**
 * Writes the state after the cut to the folder `out` (made anew).
 * Returns counts: { records, unsyncedWrites, dropped, kept, torn, droppedEntries }.
 */
export function replay({ base, journal, out, seed }) {
  const random = seeded(seed);
  /* One cut in four drops everything unsynced, one keeps everything, the others go piece by piece. */
  const mood = ['drop', 'keep', 'mixed', 'mixed'][Math.floor(random() * 4)];
  const { records, fd } = readJournal(journal);
  const counts = { records: records.length, mood, unsyncedWrites: 0, dropped: 0, kept: 0, torn: 0, droppedEntries: 0 };

  /* 1. How far each file and folder was synced. */
  const fileSynced = new Map();
  const dirSynced = new Map();
  for (const r of records) {
    if (r.kind === 'SYNC') fileSynced.set(r.file, Math.max(fileSynced.get(r.file) ?? 0, r.begin));
    if (r.kind === 'SYNC_DIR') dirSynced.set(r.path, Math.max(dirSynced.get(r.path) ?? 0, r.begin));
  }

  /* 2. Names: the live view (what the process saw) and the surviving view, side by side. */
  const live = new Map();
  const left = new Map();
  const objects = new Map(); /* file id → object */
  const dirs = new Set(['']);
  walk(base, '', (name, isDir) => {
    if (isDir) {
      dirs.add(name);
      return;
    }
    const object = { base: path.join(base, name), changes: [] };
    live.set(name, object);
    left.set(name, object);
  });
  const survives = (index, dir) => {
    if (index < (dirSynced.get(dir) ?? 0)) return true;
    const keep = mood === 'keep' || (mood === 'mixed' && random() < 0.5);
    if (!keep) counts.droppedEntries++;
    return keep;
  };
  records.forEach((r, index) => {
    switch (r.kind) {
      case 'OPEN':
        if (live.has(r.path)) objects.set(r.file, live.get(r.path));
        break;
      case 'CREATE': {
        const object = { base: null, changes: [] };
        objects.set(r.file, object);
        live.set(r.path, object);
        if (survives(index, parentOf(r.path))) left.set(r.path, object);
        break;
      }
      case 'RENAME': {
        const object = live.get(r.path);
        if (object === undefined) break;
        live.delete(r.path);
        live.set(r.to, object);
        if (survives(index, parentOf(r.to))) {
          if (left.get(r.path) === object) left.delete(r.path);
          left.set(r.to, object);
        }
        break;
      }
      case 'UNLINK':
        live.delete(r.path);
        if (survives(index, parentOf(r.path))) left.delete(r.path);
        break;
      case 'MKDIR':
        if (survives(index, parentOf(r.path))) dirs.add(r.path);
        break;
      case 'RMDIR':
        if (survives(index, parentOf(r.path))) dirs.delete(r.path);
        break;
      case 'WRITE':
      case 'TRUNCATE':
      case 'EXTEND':
        objects.get(r.file)?.changes.push({ ...r, synced: index < (fileSynced.get(r.file) ?? 0) });
        break;
      default:
        break;
    }
  });

  /* 3. The folder. */
  fs.rmSync(out, { recursive: true, force: true });
  fs.mkdirSync(out, { recursive: true, mode: 0o700 });
  const isReachable = (dir) => dir === '' || (dirs.has(dir) && isReachable(parentOf(dir)));
  for (const dir of [...dirs].sort()) {
    if (dir !== '' && isReachable(dir)) fs.mkdirSync(path.join(out, dir), { recursive: true, mode: 0o700 });
  }
  for (const [name, object] of left) {
    if (!isReachable(parentOf(name))) continue;
    const target = path.join(out, name);
    if (object.base !== null) fs.copyFileSync(object.base, target);
    const file = fs.openSync(target, object.base !== null ? 'r+' : 'w+', 0o600);
    for (const change of object.changes) applyChange(file, change, { random, mood, counts, fd });
    fs.closeSync(file);
  }
  fs.closeSync(fd);
  return counts;
}

function applyChange(file, change, { random, mood, counts, fd }) {
  const isKept = change.synced || mood === 'keep' || (mood === 'mixed' && random() < 0.5);
  if (!change.synced) {
    counts.unsyncedWrites++;
    if (isKept) counts.kept++;
    else counts.dropped++;
  }
  if (change.kind === 'TRUNCATE') {
    if (isKept) fs.ftruncateSync(file, change.offset);
    return;
  }
  if (change.kind === 'EXTEND') {
    if (isKept && fs.fstatSync(file).size < change.offset) fs.ftruncateSync(file, change.offset);
    return;
  }
  const end = change.offset + change.dataBytes;
  if (!isKept) {
    /* The length may have reached the disk without the bytes. */
    if (mood === 'mixed' && random() < 0.5 && fs.fstatSync(file).size < end) fs.ftruncateSync(file, end);
    return;
  }
  const data = Buffer.alloc(change.dataBytes);
  fs.readSync(fd, data, 0, data.length, change.dataAt);
  if (change.synced || mood === 'keep' || random() < 0.5) {
    fs.writeSync(file, data, 0, data.length, change.offset);
    return;
  }
  /* In part: each sector by itself. */
  counts.torn++;
  let at = 0;
  while (at < data.length) {
    const next = Math.min(data.length, at + SECTOR - ((change.offset + at) % SECTOR));
    if (random() < 0.5) fs.writeSync(file, data, at, next - at, change.offset + at);
    at = next;
  }
}
