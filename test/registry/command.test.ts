/** `layerstore pull`, `push` and `inspect --remote` as users type them. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { PulledImage, PushedImage, RemoteDetails } from '@layerstore/store';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CommandLine, ended } from '../support/command.js';
import { HttpProxy } from '../support/http-proxy.js';
import { isRoot, Scratch } from '../support/scratch.js';
import { ScriptedRegistry, type ScriptedImage } from '../support/scripted-registry.js';
import { tarOf } from '../support/tar.js';
import { DockerRegistry } from '../support/docker-registry.js';
import { need, run } from '../support/programs.js';

describe.skipIf(!isRoot)('registries on the command line (needs root)', () => {
  let scratch: Scratch;
  let registry: ScriptedRegistry;
  let layerstore: CommandLine;
  let image: ScriptedImage;
  let home: NodeJS.ProcessEnv;

  beforeEach(async () => {
    scratch = new Scratch('registry-command');
    registry = await ScriptedRegistry.start();
    layerstore = new CommandLine(scratch.file('root'));
    image = registry.addImage('1', [tarOf({ file: 'content' }), tarOf({ other: 'content' })]);
    mkdirSync(scratch.file('home/.config/containers'), { recursive: true });
    home = {
      HOME: scratch.file('home'),
      XDG_CONFIG_HOME: '',
      XDG_RUNTIME_DIR: '',
      REGISTRY_AUTH_FILE: '',
      DOCKER_CONFIG: '',
    };
  });
  afterEach(async () => {
    await registry[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
  });

  const call = (...args: string[]) => layerstore.runBeside(args, home);

  it('pull prints name and digest, and a line for each layer on stderr', async () => {
    const reference = `${registry.host}/app:1`;
    const { code, stdout, stderr } = await call('pull', reference);
    expect({ code, stdout }).toEqual({ code: 0, stdout: `Pulled image: ${reference}\nDigest: ${image.digest}\n` });
    for (const { digest, diffId } of image.layers) {
      expect(stderr).toMatch(new RegExp(`^${digest.slice(7, 19)} download: done, \\d+B in`, 'm'));
      expect(stderr).toMatch(new RegExp(`^${diffId.slice(7, 19)}: done`, 'm'));
    }
    expect(await call('pull', '-q', reference)).toEqual({ code: 0, stdout: `${image.id}\n`, stderr: '' });
    const again = await call('pull', '--json', '--progress', 'json', reference);
    expect(JSON.parse(again.stdout) as PulledImage[]).toMatchObject([
      { id: image.id, layers: [{ present: true }, { present: true }] },
    ]);
    const events = again.stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { task: string; kind: string });
    expect(events.map(({ kind, task }) => `${kind} ${task.split(':')[0] ?? ''}`)).toEqual([
      'start manifest',
      'end manifest',
      'end layer',
      'end layer',
    ]);
  });

  it('several images are pulled, and one that fails stops no other', async () => {
    const { code, stdout, stderr } = await call(
      'pull',
      '--progress',
      'none',
      `${registry.host}/app:2`,
      `${registry.host}/app:1`,
    );
    expect({ code, stdout }).toEqual({
      code: 1,
      stdout: `Pulled image: ${registry.host}/app:1\nDigest: ${image.digest}\n`,
    });
    expect(stderr).toMatch(/^layerstore: \S+\/app:2: the registry says: 2 is not here \(MANIFEST_UNKNOWN\)\nhint: /);
  });

  it('inspect --remote prints what there is and needs no store', async () => {
    const { stdout } = await call('inspect', '--remote', `${registry.host}/app:1`);
    expect(JSON.parse(stdout) as RemoteDetails[]).toMatchObject([
      { digest: image.digest, kind: 'image', image: { id: image.id, platform: 'linux/amd64' }, referrers: [] },
    ]);
    expect(layerstore.run('images').stderr).toContain('there is no layerstore root here');
  });

  it('credentials, aliases, insecure and blocked registries come from the files of docker and podman', async () => {
    const basic = `Basic ${Buffer.from('ada:secret').toString('base64')}`;
    registry.script = ({ url, headers }, response) => {
      if (url === '/v2/' || headers.authorization === basic) return false;
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      return true;
    };
    const reference = `${registry.host}/app:1`;
    expect(await call('pull', '-q', reference)).toMatchObject({ code: 1 });
    writeFileSync(
      scratch.file('home/.config/containers/auth.json'),
      JSON.stringify({ auths: { [registry.host]: { auth: Buffer.from('ada:secret').toString('base64') } } }),
    );
    expect(await call('pull', '-q', reference)).toMatchObject({ code: 0 });
    expect(await call('pull', '-q', '--creds', 'ada:wrong', reference)).toMatchObject({ code: 1 });
    expect(await call('pull', '-q', '--authfile', scratch.file('missing'), reference)).toMatchObject({ code: 1 });
    writeFileSync(
      scratch.file('home/.config/containers/registries.conf'),
      `unqualified-search-registries = ["${registry.host}"]\n[aliases]\n"mine" = "${registry.host}/app"\n` +
        `[[registry]]\nlocation = "blocked.example"\nblocked = true\n`,
    );
    expect(await call('pull', '--progress', 'none', '--short-names', 'podman', 'mine:1')).toMatchObject({
      stdout: `Pulled image: ${reference}\nDigest: ${image.digest}\n`,
    });
    expect(await call('pull', '--progress', 'none', '--short-names', 'podman', 'searched:1')).toMatchObject({
      stdout: `Pulled image: ${registry.host}/searched:1\nDigest: ${image.digest}\n`,
    });
    expect((await call('pull', '-q', 'blocked.example/app')).stderr).toContain(
      'the configuration of this machine blocks blocked.example',
    );
    writeFileSync(scratch.file('home/.config/containers/registries.conf'), 'not = toml = at all');
    const damaged = await call('pull', '-q', reference);
    expect(damaged).toMatchObject({ code: 125 });
    expect(damaged.stderr).toContain('registries.conf');
  });

  it('proxies come from the environment', async () => {
    await using proxy = await HttpProxy.start(registry.host);
    const name = 'registry.layerstore.test:5000';
    const pull = ['pull', '-q', '--insecure-registry', name, `${name}/app:1`];
    const variables = { HTTP_PROXY: `http://${proxy.host}`, https_proxy: `http://${proxy.host}`, NO_PROXY: '' };
    expect(await layerstore.runBeside(pull, { ...home, ...variables })).toMatchObject({ code: 0 });
    expect(proxy.requests).toContain(`GET http://${name}/v2/app/manifests/1`);
    const exempt = await layerstore.runBeside(pull, { ...home, ...variables, NO_PROXY: '.layerstore.test' });
    expect(exempt.code).toBe(1);
  });

  it('Ctrl-C ends a pull at once and leaves nothing', async () => {
    registry.script = ({ url }, response) => {
      if (!url.endsWith(image.layers[0]?.digest ?? '')) return false;
      response.writeHead(200, { 'content-length': image.layers[0]?.bytes.length ?? 0 });
      response.flushHeaders();
      return true;
    };
    const child = layerstore.start(['pull', '-q', `${registry.host}/app:1`], home);
    while (!registry.paths.some((path) => path.endsWith(image.layers[0]?.digest ?? ''))) await sleep(20);
    child.kill('SIGINT');
    expect(await ended(child)).toEqual({ code: 130, stdout: '', stderr: '' });
    expect(layerstore.run('check').stdout).toMatch(/^sound/);
  });

  it('push prints name and digest, and skopeo finds it there', async (context) => {
    need(context, 'docker-registry', 'skopeo');
    await using real = await DockerRegistry.start(scratch.file('registry'));
    await call('pull', '-q', `${registry.host}/app:1`);
    const { stdout } = await call('push', '--progress', 'none', `${registry.host}/app:1`, `${real.host}/team/app:2`);
    const digest = /^Digest: (sha256:[0-9a-f]{64})$/m.exec(stdout)?.[1];
    expect(stdout).toBe(`Pushed image: ${real.host}/team/app:2\nDigest: ${digest ?? ''}\n`);
    expect(
      JSON.parse(run('skopeo', 'inspect', '--tls-verify=false', `docker://${real.host}/team/app:2`)),
    ).toMatchObject({ Digest: digest });
    const again = await call('push', '--json', `${registry.host}/app:1`, `${real.host}/team/app:3`);
    expect(JSON.parse(again.stdout) as PushedImage).toMatchObject({
      layers: [{ outcome: 'present' }, { outcome: 'present' }],
    });
    const refused = await call('push', '-q', image.id);
    expect(refused).toMatchObject({ code: 125 });
    expect(refused.stderr).toContain('hint: give the destination as well');
  });
});
