/*
 * places - where a text stands in the files of a data folder: their names, their bytes, and what Parquet files hold (read by DuckDB, by
 * test/flow/print_parquet.c: a search of their bytes finds nothing in what is compressed).
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

const TOOLS = process.env.POTIK_TEST_TOOLS ?? path.resolve('build');

/** All below the folder. */
export function filesOf(folder) {
  const found = [];
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) found.push(...filesOf(file));
    else if (entry.isFile()) found.push(file);
  }
  return found;
}

/** Files that vanish while they are read are gone. */
export const bytesOf = (file) => {
  try {
    return fs.readFileSync(file);
  } catch (error) {
    assert.equal(error.code, 'ENOENT');
    return Buffer.alloc(0);
  }
};

export function placesInFiles(folder, text) {
  const files = filesOf(folder);
  const places = files.filter((file) => file.includes(text) || bytesOf(file).includes(text)).map((file) => path.relative(folder, file));
  const parquet = files.filter((file) => file.endsWith('.parquet'));
  if (parquet.length > 0) {
    const printed = spawnSync(path.join(TOOLS, 'test/flow/print_parquet'), parquet, { encoding: 'utf8', maxBuffer: 1 << 28 });
    assert.equal(printed.status, 0, printed.stderr);
    for (const part of printed.stdout.split(/^file /m).slice(1))
      if (part.includes(text)) places.push(`inside ${path.basename(part.slice(0, part.indexOf('\n')))}`);
  }
  return places;
}
