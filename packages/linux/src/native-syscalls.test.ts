import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const built = fileURLToPath(new URL('../dist/index.js', import.meta.url));

/** Runs a script that has `linux`, the built package, in a fresh process; returns what it prints. */
function inFreshProcess(script: string): string {
  const source = `
    import Module, { createRequire } from 'node:module';
    const linux = await import(${JSON.stringify(built)});
    const cache = createRequire(${JSON.stringify(built)}).cache;
    const koffiIsLoaded = () => Object.keys(cache).some((file) => file.includes('koffi'));
    const codeOf = (call) => { try { call(); return 'none'; } catch (error) { return error.code; } };
    ${script}`;
  return execFileSync(process.execPath, ['--input-type=module', '-e', source], { encoding: 'utf8' }).trim();
}

describe('the package (built by `npx tsc -b packages/linux`)', () => {
  it('loads no native code when it is imported', () => {
    expect(inFreshProcess('console.log(koffiIsLoaded())')).toBe('false');
  });

  it.skipIf(process.platform !== 'linux')('loads it with the first kernel call (Linux only)', () => {
    expect(inFreshProcess('linux.nativeSyscalls(); console.log(koffiIsLoaded())')).toBe('true');
  });

  it('says on other systems that it needs Linux', () => {
    const script = `
      Object.defineProperty(process, 'platform', { value: 'darwin' });
      const calls = [linux.nativeSyscalls, linux.loadZstd, () => linux.requireLinuxRoot('mounting')];
      console.log(calls.map(codeOf).join(), koffiIsLoaded());`;
    expect(inFreshProcess(script)).toBe(`${Array(3).fill('ERR_UNSUPPORTED_PLATFORM').join(',')} false`);
  });

  it.skipIf(process.platform !== 'linux')('says what to install when koffi is missing (Linux only)', () => {
    const script = `
      const load = Module._load;
      Module._load = (request, ...rest) => {
        if (request === 'koffi') throw new Error('Cannot find module');
        return load(request, ...rest);
      };
      console.log(codeOf(linux.nativeSyscalls));`;
    expect(inFreshProcess(script)).toBe('ERR_MISSING_PREREQUISITE');
  });
});
