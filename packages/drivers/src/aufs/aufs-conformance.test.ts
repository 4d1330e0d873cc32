import { describeDriver } from '../conformance/index.js';
import { openAufs } from './open-aufs.js';
import type { AufsOptions } from './open-aufs.js';
import type { AufsDriver } from './aufs-driver.js';

/** As a program does it: opened and swept. */
async function open(home: string, options: AufsOptions): Promise<AufsDriver> {
  const driver = await openAufs(home, options);
  await driver.cleanup();
  return driver;
}

describeDriver({
  title: 'aufs by fsopen',
  mountMethod: 'fsopen',
  open: (home, options) => open(home, { ...options, engine: 'overlay' }),
});

describeDriver({
  title: 'aufs by mount(2)',
  mountMethod: 'mount',
  open: (home, options) => open(home, { ...options, engine: 'overlay' }),
});
