import { posix } from 'node:path';
import { StoreError } from '@layerstore/core';
import type { ExecutionConfig } from './config.js';
import { splitWords } from './words.js';

type Mutable = { -readonly [Name in keyof ExecutionConfig]: ExecutionConfig[Name] };

/** What an instruction does to the config; `text` is what follows its name. */
type Instruction = (config: Mutable, text: string) => void;

const instructions: Readonly<Record<string, Instruction>> = {
  CMD: (config, text) => {
    config.Cmd = commandLine(text);
  },
  ENTRYPOINT: (config, text) => {
    config.Entrypoint = commandLine(text);
  },
  ENV: (config, text) => {
    for (const [name, value] of assignments(config, text)) {
      config.Env = [...(config.Env ?? []).filter((entry) => !entry.startsWith(`${name}=`)), `${name}=${value}`];
    }
  },
  LABEL: (config, text) => {
    config.Labels = { ...config.Labels, ...Object.fromEntries(assignments(config, text)) };
  },
  EXPOSE: (config, text) => {
    for (const word of words(config, text)) {
      if (!/^[0-9]{1,5}(\/(tcp|udp|sctp))?$/.test(word)) throw invalid('not a port such as 80 or 53/udp', word);
      config.ExposedPorts = { ...config.ExposedPorts, [word.includes('/') ? word : `${word}/tcp`]: {} };
    }
  },
  VOLUME: (config, text) => {
    for (const path of jsonWords(text) ?? words(config, text)) config.Volumes = { ...config.Volumes, [path]: {} };
  },
  USER: (config, text) => {
    config.User = oneWord(config, text);
  },
  WORKDIR: (config, text) => {
    config.WorkingDir = posix.resolve('/', config.WorkingDir ?? '', oneWord(config, text));
  },
  STOPSIGNAL: (config, text) => {
    config.StopSignal = oneWord(config, text);
  },
};

/**
 * Applies Dockerfile instructions to a config, as `docker commit --change` does: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL,
 * STOPSIGNAL, USER, VOLUME, WORKDIR. An ENTRYPOINT without a CMD beside it drops the inherited CMD.
 * @throws StoreError ERR_INVALID_ARGUMENT
 */
export function changeExecution(config: ExecutionConfig, changes: readonly string[]): ExecutionConfig {
  const changed: Mutable = { ...config };
  const names = changes.map((change) => {
    const [, name = '', text = ''] = /^\s*([A-Za-z]+)\s*(.*?)\s*$/s.exec(change) ?? [];
    const apply = Object.hasOwn(instructions, name.toUpperCase()) ? instructions[name.toUpperCase()] : undefined;
    if (apply === undefined) {
      throw new StoreError('ERR_INVALID_ARGUMENT', 'not an instruction that changes a config', {
        subject: change,
        hint: `known are ${Object.keys(instructions).join(', ')}`,
      });
    }
    apply(changed, text);
    return name.toUpperCase();
  });
  if (names.includes('ENTRYPOINT') && !names.includes('CMD')) delete changed.Cmd;
  return changed;
}

/** A JSON list is run as it is; anything else by the shell. */
function commandLine(text: string): string[] {
  return jsonWords(text) ?? (text === '' ? [] : ['/bin/sh', '-c', text]);
}

function jsonWords(text: string): string[] | undefined {
  if (!text.startsWith('[')) return undefined;
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    // Docker takes what only looks like a list for a command of the shell: `[ -f /x ] && ...` is one.
    return undefined;
  }
  return Array.isArray(list) && list.every((item) => typeof item === 'string') ? list : undefined;
}

/** `A=b C="d e"`, or the old form `A the rest`. */
function assignments(config: Mutable, text: string): [name: string, value: string][] {
  const list = words(config, text);
  const [first = '', ...rest] = list;
  if (first === '') throw invalid('a name and a value are missing', text);
  if (!first.includes('=')) return [[first, rest.join(' ')]];
  return list.map((word) => {
    const equals = word.indexOf('=');
    if (equals <= 0) throw invalid('not NAME=value', word);
    return [word.slice(0, equals), word.slice(equals + 1)];
  });
}

function words(config: Mutable, text: string): string[] {
  const prefix = (name: string): string => `${name}=`;
  return splitWords(text, (name) =>
    config.Env?.find((entry) => entry.startsWith(prefix(name)))?.slice(prefix(name).length),
  );
}

function oneWord(config: Mutable, text: string): string {
  const [word, ...rest] = words(config, text);
  if (word === undefined || rest.length > 0) throw invalid('exactly one word is expected', text);
  return word;
}

function invalid(reason: string, subject: string): StoreError {
  return new StoreError('ERR_INVALID_ARGUMENT', reason, { subject });
}
