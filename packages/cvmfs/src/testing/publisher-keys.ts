import { execFileSync } from 'node:child_process';
import { constants, createPrivateKey, generateKeyPairSync, privateEncrypt, sign, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { TemporaryDirectory } from './temporary.js';

/** A certificate with its key, as a publisher has it; made by openssl(1). */
export class PublisherCertificate {
  readonly pem: Buffer;
  readonly #key: KeyObject;

  constructor() {
    using directory = new TemporaryDirectory();
    const [key, certificate] = [join(directory.path, 'key'), join(directory.path, 'certificate')];
    const names = ['-subj', '/CN=test', '-days', '3650', '-keyout', key, '-out', certificate];
    execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...names], { stdio: 'ignore' });
    this.pem = readFileSync(certificate);
    this.#key = createPrivateKey(readFileSync(key));
  }

  sign(text: string): Buffer {
    return sign('RSA-SHA1', Buffer.from(text), this.#key);
  }
}

export class MasterKey {
  readonly #pair = generateKeyPairSync('rsa', { modulusLength: 2048 });

  get publicPem(): string {
    return this.#pair.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  }

  sign(text: string): Buffer {
    return privateEncrypt({ key: this.#pair.privateKey, padding: constants.RSA_PKCS1_PADDING }, Buffer.from(text));
  }
}
