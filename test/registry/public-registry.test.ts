/** What a registry in the Internet may not do: lead inwards, lead to plain HTTP, be trusted without a certificate, get another one's password. */
import { copyFileSync, mkdirSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeCertificate, type TestCertificate } from '../support/docker-registry.js';
import { sha256 } from '../support/image.js';
import { addresses, PublicNetwork, type Answer } from '../support/public-network.js';
import { hasProgram, isRoot, Scratch } from '../support/scratch.js';
import { types } from '../support/scripted-registry.js';
import { tarOf } from '../support/tar.js';

const missing = ['ip', 'nsenter', 'openssl'].filter((program) => !hasProgram(program));
const cannot = !isRoot ? 'needs root' : missing.length === 0 ? undefined : `${missing.join(' and ')} not installed`;

const tar = tarOf({ file: 'content' });
const blob = gzipSync(tar);
const digestOf = (bytes: Buffer): string => `sha256:${sha256(bytes)}`;
const config = Buffer.from(
  JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [digestOf(tar)] } }),
);
const manifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: types.manifest,
    config: { mediaType: types.config, digest: digestOf(config), size: config.length },
    layers: [{ mediaType: types.layer, digest: digestOf(blob), size: blob.length }],
  }),
);
const blobAnswer: Answer = { match: digestOf(blob), status: 200, body: blob };
const documents: readonly Answer[] = [
  { match: '/manifests/', status: 200, headers: { 'content-type': types.manifest }, body: manifest },
  { match: digestOf(config), status: 200, body: config },
];

describe.skipIf(cannot !== undefined)(`a public registry${cannot === undefined ? '' : ` (${cannot})`}`, () => {
  let scratch: Scratch;
  let network: PublicNetwork;
  let certificate: TestCertificate;
  let certificates: string;

  beforeEach(async () => {
    scratch = new Scratch('public');
    network = await PublicNetwork.open();
    certificate = makeCertificate(scratch.file('made'), `IP:${addresses.first},IP:${addresses.second}`);
    certificates = scratch.file('certs.d');
    for (const host of [`${addresses.first}:5000`, addresses.first, `${addresses.second}:5000`]) {
      mkdirSync(`${certificates}/${host}`, { recursive: true });
      copyFileSync(certificate.authority, `${certificates}/${host}/ca.crt`);
    }
  });
  afterEach(async () => {
    await network[Symbol.asyncDispose]();
    scratch[Symbol.dispose]();
  });

  const host = `${addresses.first}:5000`;
  const reference = `${host}/app:1`;
  const pull = (...options: string[]) => network.layerstore(scratch.file('root'), 'pull', reference, ...options);

  it('is believed with the certificate of its authority, and with nothing else', async () => {
    await network.serve(addresses.first, 5000, [...documents, blobAnswer], certificate);
    const refused = await pull('--cert-dir', scratch.file('nowhere'));
    expect(refused.code).toBe(1);
    expect(refused.stderr).toBe(
      `layerstore: ${reference}: ${host}: nobody that this machine trusts vouches for the certificate\n` +
        `hint: put its authority into /etc/docker/certs.d/${host}/ca.crt\n`,
    );
    expect(await pull('--cert-dir', certificates)).toMatchObject({ code: 0, stderr: '' });
    expect(await pull('--insecure-registry', host)).toMatchObject({ code: 0, stderr: '' });
    expect(await pull('--insecure-registry', '198.51.100.0/24')).toMatchObject({ code: 0, stderr: '' });
  });

  it('without TLS is used only when it was named as insecure', async () => {
    const asked = await network.serve(addresses.first, 5000, [...documents, blobAnswer]);
    const refused = await pull();
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain(
      `it does not speak TLS\nhint: if plain HTTP is meant, allow it with --insecure-registry ${host}\n`,
    );
    expect(asked).toEqual([]);
    expect(await pull('--insecure-registry', host)).toMatchObject({ code: 0 });
  });

  it.for([
    ['this machine', '127.0.0.1'],
    ['the local network', addresses.local],
    ['the metadata service of a cloud', '169.254.169.254'],
    ['this machine in another spelling', '[::ffff:127.0.0.1]'],
    ['this machine by name', 'localhost'],
  ] as const)('may not lead to %s', async ([, target]) => {
    const inside = await network.serve('0.0.0.0', 6000, [blobAnswer]);
    const redirect = {
      match: '/blobs/',
      status: 307,
      headers: { location: `http://${target}:6000/${digestOf(blob)}` },
    };
    await network.serve(addresses.first, 5000, [...documents, redirect]);
    const { code, stderr } = await pull('--insecure-registry', host);
    expect(code).toBe(1);
    expect(stderr).toContain('a public registry led to an internal address');
    expect(inside).toEqual([]);
  });

  it('may not name a token server inside', async () => {
    const inside = await network.serve('127.0.0.1', 6000, [{ match: '.', status: 200, body: '{"token":"x"}' }]);
    const challenge = { 'www-authenticate': `Bearer realm="http://127.0.0.1:6000/token",service="x"` };
    await network.serve(addresses.first, 5000, [{ match: '/v2/app/', status: 401, headers: challenge }]);
    const { code, stderr } = await pull('--insecure-registry', host);
    expect(code).toBe(1);
    expect(stderr).toContain('a public registry led to an internal address');
    expect(inside).toEqual([]);
  });

  it('may lead to another public server, which gets no credentials', async () => {
    const elsewhere = await network.serve(addresses.second, 6000, [blobAnswer]);
    const location = `http://eve:other@${addresses.second}:6000/${digestOf(blob)}`;
    const redirect: Answer = { match: digestOf(blob), status: 307, headers: { location } };
    const wants = 'Basic realm="x"';
    const answers = [redirect, ...documents].map((answer) => ({ ...answer, wants }));
    const asked = await network.serve(addresses.first, 5000, answers);
    expect(await pull('--insecure-registry', host, '--creds', 'ada:secret')).toMatchObject({ code: 0 });
    const basic = `Basic ${Buffer.from('ada:secret').toString('base64')}`;
    // Manifest without, then manifest, config and layer with them.
    expect(asked.filter(({ url }) => url !== '/v2/').map(({ authorization }) => authorization)).toEqual([
      null,
      basic,
      basic,
      basic,
    ]);
    expect(elsewhere.map(({ authorization }) => authorization)).toEqual([null]);
  });

  it('may not lead from HTTPS to plain HTTP, neither for a blob nor for a token', async () => {
    const plain = await network.serve(addresses.second, 6000, [blobAnswer]);
    const location = `http://${addresses.second}:6000/${digestOf(blob)}`;
    await network.serve(
      addresses.first,
      5000,
      [{ match: '/blobs/', status: 302, headers: { location } }, ...documents],
      certificate,
    );
    await network.serve(
      addresses.second,
      5000,
      [
        {
          match: '.',
          status: 401,
          headers: { 'www-authenticate': `Bearer realm="http://${addresses.second}:6000/token"` },
        },
      ],
      certificate,
    );
    for (const name of [reference, `${addresses.second}:5000/app:1`]) {
      const { code, stderr } = await network.layerstore(
        scratch.file('root'),
        'pull',
        name,
        ...['--cert-dir', certificates, '--creds', 'ada:secret'],
      );
      expect(code).toBe(1);
      expect(stderr).toContain(`the registry leads from HTTPS to http://${addresses.second}:6000`);
    }
    expect(plain).toEqual([]);
  });
});
