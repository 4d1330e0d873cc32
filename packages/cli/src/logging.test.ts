import { expect, test } from 'vitest';
import { lineLogger } from './logging.js';

test('a log line has the level, the message and its fields, without control characters', () => {
  const lines: string[] = [];
  const logger = lineLogger('debug', (line) => lines.push(line));
  logger.warn({ layer: 'a\u001b[2J', error: new Error('gone'), attempt: 2, chain: ['x'] }, 'starting again');
  expect(lines).toEqual(["layerstore: warning: starting again (layer=a\\x1b[2J error='gone' attempt=2 chain=[ 'x' ])"]);
});

test('only the chosen level and worse ones are written', () => {
  const lines: string[] = [];
  const logger = lineLogger('warn', (line) => lines.push(line));
  logger.debug({}, 'one');
  logger.info({}, 'two');
  logger.warn({}, 'three');
  logger.error({}, 'four');
  expect(lines).toEqual(['layerstore: warning: three', 'layerstore: error: four']);
});
