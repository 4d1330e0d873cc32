import { describe, expect, test } from 'vitest';
import { splitThinOptions } from './thin-options.js';

describe('options of thin images', () => {
  test('leave thin support off unless one of them switches it on', () => {
    expect(splitThinOptions(undefined)).toEqual({ thin: undefined, others: undefined });
    expect(splitThinOptions({ 'overlay2.size': '1G' })).toEqual({ thin: undefined, others: { 'overlay2.size': '1G' } });
    expect(splitThinOptions({ 'thin.enabled': 'false' }).thin).toBeUndefined();
    expect(splitThinOptions({ 'thin.enabled': 'false', cvmfsMountMethod: 'internal' }).thin).toBeUndefined();
    expect(splitThinOptions({ 'thin.enabled': 'true' }).thin).toMatchObject({ method: 'native' });
    expect(splitThinOptions({ cvmfsMountMethod: 'internal' }).thin).toMatchObject({ method: 'internal' });
  });

  test('are taken out of those of the driver', () => {
    const options = {
      cvmfsMountMethod: 'external',
      cvmfsMountPath: '/cvmfs',
      'thin.keys': '/keys',
      'overlay2.size': '1G',
    };
    expect(splitThinOptions(options)).toEqual({
      thin: { method: 'external', mountPath: '/cvmfs', keys: '/keys', configuration: undefined, program: undefined },
      others: { 'overlay2.size': '1G' },
    });
  });

  test.each([
    [{ cvmfsMountMethod: 'Internal' }, 'cvmfsMountMethod'],
    [{ cvmfsMountMethod: '' }, 'cvmfsMountMethod'],
    [{ cvmfsMountMethod: 'constructor' }, 'cvmfsMountMethod'],
    [{ 'thin.enabled': 'yes' }, 'thin.enabled'],
    [{ cvmfsMountMethod: 'external', cvmfsMountPath: 'relative' }, 'cvmfsMountPath'],
    [{ cvmfsMountMethod: 'external', cvmfsMountPath: '/with\0end' }, 'cvmfsMountPath'],
    [{ cvmfsMountPath: '/cvmfs' }, 'cvmfsMountPath'],
    [{ 'thin.enabled': 'true', cvmfsMountPath: '/cvmfs' }, 'cvmfsMountPath'],
    [{ cvmfsMountMethod: 'external', 'thin.config': '/file' }, 'thin.config'],
    [{ cvmfsMountMethod: 'external', 'thin.program': '/file' }, 'thin.program'],
    [{ 'thin.keys': '/keys' }, 'thin.keys'],
  ])('are refused as %j, by the name of the one that does not fit', (options: Record<string, string>, key) => {
    expect(() => splitThinOptions(options)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT', subject: `storage option ${key}` }),
    );
  });
});
