// Reads every file of a repository through a cache, and kills itself with SIGKILL at the n-th step (or never, to count the steps).
// usage: node cvmfs-victim.mjs SERVER KEYFILE CACHE STEP
import { createHash } from 'node:crypto';
import { subscribe } from 'node:diagnostics_channel';
import { readFileSync } from 'node:fs';
import { objectsOf, Repository } from '@layerstore/cvmfs';

const [server, key, cacheDirectory, killAt] = process.argv.slice(2);
let steps = 0;
subscribe('layerstore:step', () => {
  steps += 1;
  if (steps === Number(killAt)) process.kill(process.pid, 'SIGKILL');
});

const name = 'amber.example.org';
const configuration = { name, servers: [server], masterKeys: [readFileSync(key, 'utf8')], cacheDirectory };
const repository = await Repository.open({ configuration });
const revision = await repository.revision();
const ask = async (question) => {
  for (let answer = question(); ; answer = question()) {
    if (answer.kind === 'found') return answer.value;
    await revision.load(answer);
  }
};
const files = [];
const walk = async (directory) => {
  for (const entry of await ask(() => revision.list(directory))) {
    if (entry.type === 'directory') await walk(entry);
    if (entry.type === 'file') files.push(entry);
  }
};
await walk(revision.root);
const contents = [];
for (const file of files) contents.push(objectsOf(await ask(() => revision.content(file))));
const failed = await repository.objects.prefetch(contents.flat());
if (failed.length > 0) throw failed[0].error;
const sums = {};
for (const [index, file] of files.entries()) {
  const hash = createHash('sha256');
  for (const object of contents[index]) hash.update(readFileSync(repository.objects.local.find(object).path));
  sums[file.path.toString('base64')] = hash.digest('hex');
}
revision[Symbol.dispose]();
await repository[Symbol.asyncDispose]();
process.stdout.write(JSON.stringify({ steps, sums }));
