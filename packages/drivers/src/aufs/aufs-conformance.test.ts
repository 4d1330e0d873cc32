import { describeDriver } from '../conformance/index.js';
import { openAufs } from './open-aufs.js';

describeDriver({ title: 'aufs by fsopen', driver: 'aufs', mountMethod: 'fsopen' });

describeDriver({ title: 'aufs by mount(2)', driver: 'aufs', mountMethod: 'mount' });

describeDriver({
  title: 'aufs by fuse-overlayfs',
  views: 'read-only',
  open: async (home, options) => {
    const driver = await openAufs(home, { ...options, engine: 'fuse-overlayfs' });
    await driver.cleanup();
    return driver;
  },
});
