import { spawn, spawnSync, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** The bundled command, as it is published. */
export const commandPath = fileURLToPath(new URL('../../packages/cli/dist/cli/main.js', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `layerstore` on one root and waits for its end. */
export class CommandLine {
  constructor(readonly root: string) {}

  run(...args: readonly string[]): Ended {
    const { status, stdout, stderr } = spawnSync(process.execPath, [commandPath, ...args], {
      env: this.environment(),
      encoding: 'utf8',
      maxBuffer: 1 << 28,
    });
    return { code: status, stdout, stderr };
  }

  /** The same while this process goes on, for servers that run in it. */
  async runBeside(args: readonly string[], environment: NodeJS.ProcessEnv = {}): Promise<Ended> {
    return ended(this.start(args, environment));
  }

  start(args: readonly string[], environment: NodeJS.ProcessEnv = {}): ChildProcessWithoutNullStreams {
    return spawn(process.execPath, [commandPath, ...args], { env: { ...this.environment(), ...environment } });
  }

  /** The stdout of a command that must succeed. */
  succeed(...args: readonly string[]): string {
    const ended = this.run(...args);
    if (ended.code !== 0) throw new Error(`layerstore ${args.join(' ')}: exit ${String(ended.code)}\n${ended.stderr}`);
    return ended.stdout;
  }

  json(...args: readonly string[]): unknown {
    return JSON.parse(this.succeed(...args, '--json'));
  }

  /** Runs a line of shell in which `$layerstore` is the command. */
  shell(line: string, ...args: readonly string[]): Ended {
    const environment = { ...this.environment(), layerstore: `${process.execPath} ${commandPath}` };
    const { status, stdout, stderr } = spawnSync('bash', ['-c', line, 'bash', ...args], {
      env: environment,
      encoding: 'utf8',
    });
    return { code: status, stdout, stderr };
  }

  environment(): NodeJS.ProcessEnv {
    return { ...process.env, LAYERSTORE_ROOT: this.root };
  }
}

/** Waits for the end of a command. */
export async function ended(child: ChildProcessWithoutNullStreams): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, stdout, stderr };
}
