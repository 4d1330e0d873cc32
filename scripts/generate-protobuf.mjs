// Writes packages/daemon/src/grpc/generated/ and test/support/cri/generated/ from their .proto files, with protoc of Debian's package
// protobuf-compiler. `--check` writes nothing and fails where the result differs from what is committed.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const plugin = join(root, 'node_modules/.bin/protoc-gen-es');

const sets = [
  { protos: 'packages/daemon/protos', to: 'packages/daemon/src/grpc/generated' },
  { protos: 'test/support/cri', to: 'test/support/cri/generated' },
];

function generate(protos, to) {
  rmSync(to, { recursive: true, force: true });
  mkdirSync(to, { recursive: true });
  const files = readdirSync(protos).filter((name) => name.endsWith('.proto'));
  const options = ['target=ts', 'import_extension=js'].map((option) => `--es_opt=${option}`);
  execFileSync(
    'protoc',
    [`--plugin=protoc-gen-es=${plugin}`, `--proto_path=${protos}`, `--es_out=${to}`, ...options, ...files],
    {
      stdio: ['ignore', 2, 2],
    },
  );
}

function contents(folder) {
  return readdirSync(folder)
    .sort()
    .map((name) => `${name}\n${readFileSync(join(folder, name), 'utf8')}`)
    .join('');
}

for (const { protos, to } of sets) {
  if (!process.argv.includes('--check')) {
    generate(join(root, protos), join(root, to));
    continue;
  }
  const fresh = mkdtempSync(join(tmpdir(), 'protobuf-'));
  generate(join(root, protos), fresh);
  const same = contents(fresh) === contents(join(root, to));
  rmSync(fresh, { recursive: true });
  if (same) continue;
  process.stderr.write(`${to} is not what its .proto files give: run node scripts/generate-protobuf.mjs\n`);
  process.exitCode = 1;
}
