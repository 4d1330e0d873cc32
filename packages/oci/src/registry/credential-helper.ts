import { spawn } from 'node:child_process';
import { StoreError } from '@layerstore/core';
import * as v from 'valibot';
import type { Credentials } from './options.js';

/** @param name without `docker-credential-` */
export type RunHelper = (name: string, server: string) => Promise<Credentials | undefined>;

const answerShape = v.object({ Username: v.string(), Secret: v.string() });

/** A helper may ask a person to unlock a key ring. */
const LONGEST_WAIT = 60_000;
const ANSWER_LIMIT = 1024 * 1024;

/**
 * Asks a credential helper of docker's (github.com/docker/docker-credential-helpers, "Development"): `docker-credential-NAME get`, the server
 * on stdin, JSON on stdout.
 * @returns undefined when it has none for the server
 * @throws StoreError ERR_REGISTRY_DENIED when it cannot be run or fails
 */
export async function runHelper(
  name: string,
  server: string,
  environment: NodeJS.ProcessEnv,
): Promise<Credentials | undefined> {
  const program = `docker-credential-${name}`;
  const fail = (reason: string, cause?: unknown): StoreError =>
    new StoreError('ERR_REGISTRY_DENIED', reason, {
      subject: program,
      hint: `see whether \`${program} get\` works, or take it out of the file that names it`,
      cause,
    });
  // It becomes the name of a program: a slash would make it a path.
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) throw fail('not the name of a credential helper');
  const { code, stdout } = await ask(program, server, environment).catch((error: unknown) => {
    throw fail(error instanceof Error ? error.message : String(error), error);
  });
  if (code !== 0) {
    if (/credentials not found|not found in (?:native )?keychain/i.test(stdout)) return undefined;
    throw fail(`it failed with exit status ${String(code)}`);
  }
  const result = v.safeParse(answerShape, parse(stdout));
  if (!result.success) throw fail('its answer holds no credentials');
  const { Username: user, Secret: secret } = result.output;
  return user === '<token>' ? { kind: 'identity-token', token: secret } : { kind: 'password', user, password: secret };
}

function ask(
  program: string,
  server: string,
  environment: NodeJS.ProcessEnv,
): Promise<{ code: number | null; stdout: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, ['get'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      env: environment,
      timeout: LONGEST_WAIT,
    });
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
      if (stdout.length > ANSWER_LIMIT) child.kill();
    });
    child.on('error', reject);
    // One that ends without reading is judged by its exit status.
    child.stdin.on('error', () => undefined);
    child.stdin.end(server);
    child.on('close', (code) => resolve({ code, stdout }));
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The caller says that there are no credentials in it; the text may hold some all the same.
    return undefined;
  }
}
