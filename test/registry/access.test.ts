/** Certificates, credentials and tokens against a real registry. */
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { credentialFiles, LayerStore, type RegistryOptions } from '@layerstore/store';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DockerRegistry, makeCertificate, type TestCertificate } from '../support/docker-registry.js';
import { makeDockerArchive, threeLayers, type TestImage } from '../support/image.js';
import { need, run } from '../support/programs.js';
import { hasProgram, isRoot, Scratch } from '../support/scratch.js';
import { TokenServer } from '../support/token-server.js';

const user = 'ada';
const password = 'pass:word';
const missing = ['docker-registry', 'htpasswd', 'openssl'].filter((program) => !hasProgram(program));
const cannot = !isRoot ? 'needs root' : missing.length === 0 ? undefined : `${missing.join(' and ')} not installed`;

describe.skipIf(cannot !== undefined)(`access to docker-registry${cannot === undefined ? '' : ` (${cannot})`}`, () => {
  let scratch: Scratch;
  let certificate: TestCertificate;
  let image: TestImage;
  let store: LayerStore;
  let number = 0;

  beforeAll(async () => {
    scratch = new Scratch('access');
    certificate = makeCertificate(scratch.file('certificate'));
    image = makeDockerArchive(scratch.file('made'), threeLayers.slice(0, 1), { reference: 'made:1' });
    store = await LayerStore.open({ root: scratch.file('root') });
    await store.images.load({ path: image.path });
  });
  afterAll(async () => {
    await store.close();
    scratch[Symbol.dispose]();
  });

  const place = (): string => scratch.file(`place-${(number += 1)}`);
  /** `podman login` writes such a file. */
  const authFile = (content: object): string => {
    const path = place();
    writeFileSync(path, JSON.stringify(content));
    return path;
  };
  const basicEntry = { auth: Buffer.from(`${user}:${password}`).toString('base64') };
  const fromFile = (content: object): RegistryOptions => ({
    credentials: credentialFiles({ files: [authFile(content)] }),
  });

  it('shows the certificate of the client that certs.d has for the registry', async () => {
    await using registry = await DockerRegistry.start(place(), {
      tls: certificate,
      clientAuthority: certificate.authority,
    });
    const reference = `${registry.host}/made:1`;
    await expect(store.images.push('made:1', reference)).rejects.toMatchObject({
      code: 'ERR_REGISTRY_UNREACHABLE',
      hint: expect.stringContaining('NAME.cert and NAME.key') as string,
    });
    const directory = place();
    mkdirSync(`${directory}/${registry.host}`, { recursive: true });
    copyFileSync(certificate.authority, `${directory}/${registry.host}/ca.crt`);
    copyFileSync(certificate.certificate, `${directory}/${registry.host}/client.cert`);
    copyFileSync(certificate.key, `${directory}/${registry.host}/client.key`);
    const options = { registry: { certificateDirectories: [directory] } };
    expect(await store.images.push('made:1', reference, options)).toMatchObject({ layers: [{ outcome: 'uploaded' }] });
    expect(await store.images.pull(reference, options)).toMatchObject({ id: image.id });
  });

  it('Basic: refuses without and with wrong credentials, takes those of a file', async (context) => {
    await using registry = await DockerRegistry.start(place(), { htpasswd: { user, password } });
    const reference = `${registry.host}/made:1`;
    await expect(store.images.push('made:1', reference)).rejects.toMatchObject({
      code: 'ERR_REGISTRY_DENIED',
      message: expect.stringMatching(/the registry says: Unauthorized \(HTTP 401\)$/) as string,
      hint: expect.stringContaining(`podman login ${registry.host}`) as string,
    });
    const wrong = { auths: { [registry.host]: { username: user, password: 'wrong' } } };
    await expect(store.images.push('made:1', reference, { registry: fromFile(wrong) })).rejects.toMatchObject({
      code: 'ERR_REGISTRY_DENIED',
    });
    const right = fromFile({ auths: { [registry.host]: basicEntry } });
    await store.images.push('made:1', reference, { registry: right });
    expect(await store.images.pull(reference, { registry: right })).toMatchObject({ id: image.id });
    need(context, 'skopeo');
    expect(
      run('skopeo', 'inspect', '--tls-verify=false', '--creds', `${user}:${password}`, `docker://${reference}`),
    ).toContain('Digest');
  });

  it('asks a credential helper, and goes on to the file when it has nothing', async () => {
    await using registry = await DockerRegistry.start(place(), { htpasswd: { user, password } });
    const programs = place();
    mkdirSync(programs);
    const helper = `${programs}/docker-credential-test`;
    writeFileSync(
      helper,
      `#!/bin/sh\nread server\n[ "$1 $server" = "get $WANTED" ] || { echo 'credentials not found in native keychain'; exit 1; }\n` +
        `printf '{"ServerURL":"x","Username":"${user}","Secret":"${password}"}'\n`,
    );
    chmodSync(helper, 0o755);
    const environment = (wanted: string) => ({ PATH: `${programs}:${process.env['PATH'] ?? ''}`, WANTED: wanted });
    const options = (content: object, wanted: string): RegistryOptions => ({
      credentials: credentialFiles({ files: [authFile(content)], helperEnvironment: environment(wanted) }),
    });
    const reference = `${registry.host}/made:1`;
    await store.images.push('made:1', reference, { registry: options({ credsStore: 'test' }, registry.host) });
    await store.images.push('made:1', reference, {
      registry: options({ credHelpers: { [registry.host]: 'test' } }, registry.host),
    });
    await store.images.push('made:1', reference, {
      registry: options({ credsStore: 'test', auths: { [registry.host]: basicEntry } }, 'another registry'),
    });
    await expect(
      store.images.push('made:1', reference, { registry: options({ credsStore: '../evil' }, registry.host) }),
    ).rejects.toMatchObject({
      code: 'ERR_REGISTRY_DENIED',
      message: expect.stringContaining('not the name') as string,
    });
  });

  it('Bearer: pulls without credentials, pushes with them, and asks once for each scope', async () => {
    await using tokens = await TokenServer.start(certificate, { user, password });
    await using registry = await DockerRegistry.start(place(), { tokens });
    const reference = `${registry.host}/team/made:1`;
    await expect(store.images.push('made:1', reference)).rejects.toMatchObject({ code: 'ERR_REGISTRY_DENIED' });
    tokens.requests.length = 0;
    await store.images.push('made:1', reference, { registry: fromFile({ auths: { [registry.host]: basicEntry } }) });
    expect(tokens.requests.map(({ scopes }) => scopes)).toEqual([['repository:team/made:pull,push']]);
    tokens.requests.length = 0;
    expect(await store.images.pull(reference)).toMatchObject({ id: image.id });
    expect(tokens.requests).toMatchObject([{ scopes: ['repository:team/made:pull'], authorization: undefined }]);
  });

  it('Bearer: mounting asks for both repositories', async () => {
    await using tokens = await TokenServer.start(certificate, { user, password });
    await using registry = await DockerRegistry.start(place(), { tokens });
    const options = { registry: fromFile({ auths: { [`http://${registry.host}/v1/`]: basicEntry } }) };
    await store.images.push('made:1', `${registry.host}/one:1`, options);
    await store.images.tag('made:1', `${registry.host}/one:1`);
    const pushed = await store.images.push('made:1', `${registry.host}/two:1`, options);
    expect(pushed.layers).toMatchObject([{ outcome: 'mounted' }]);
    expect(tokens.requests.map(({ scopes }) => scopes)).toContainEqual([
      'repository:two:pull,push',
      'repository:one:pull',
    ]);
  });

  it('Bearer: takes an identity token, and a password that the token server does not know is refused with its words', async () => {
    await using tokens = await TokenServer.start(certificate, { user, password, identityToken: 'stands-for-ada' });
    await using registry = await DockerRegistry.start(place(), { tokens });
    const reference = `${registry.host}/made:1`;
    const withToken = fromFile({ auths: { [registry.host]: { auth: '', identitytoken: 'stands-for-ada' } } });
    await store.images.push('made:1', reference, { registry: withToken });
    expect(tokens.requests[0]).toMatchObject({ method: 'POST', authorization: undefined });
    const wrong = { auths: { [registry.host]: { username: user, password: 'wrong' } } };
    await expect(store.images.pull(reference, { registry: fromFile(wrong) })).rejects.toMatchObject({
      code: 'ERR_REGISTRY_DENIED',
      message: expect.stringContaining('wrong user name or password') as string,
    });
  });

  it('Bearer: takes the most specific credentials, as podman keeps them', async () => {
    await using tokens = await TokenServer.start(certificate, { user, password, anonymousPull: false });
    await using registry = await DockerRegistry.start(place(), { tokens });
    const auths = {
      [registry.host]: { username: 'nobody', password: 'x' },
      [`${registry.host}/team/made`]: basicEntry,
    };
    await store.images.push('made:1', `${registry.host}/team/made:1`, { registry: fromFile({ auths }) });
    await expect(
      store.images.push('made:1', `${registry.host}/team/other:1`, { registry: fromFile({ auths }) }),
    ).rejects.toMatchObject({ code: 'ERR_REGISTRY_DENIED' });
  });
});
