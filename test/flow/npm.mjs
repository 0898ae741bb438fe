/*
 * npm - the packages of test/npm, which ./dev installs for the tests. A test that needs one skips, and says so, where they are not.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

export const NPM = fileURLToPath(new URL('../npm/', import.meta.url));
/** A reason to skip, or false. */
export const NO_NPM = fs.existsSync(path.join(NPM, 'node_modules')) ? false : 'the packages of test/npm are not installed (./dev test does it)';
export const fromNpm = createRequire(path.join(NPM, 'package.json'));
