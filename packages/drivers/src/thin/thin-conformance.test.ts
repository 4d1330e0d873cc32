/** Ordinary layers through drivers that show thin ones too: nothing about them changes. */
import { describeDriver } from '../conformance/index.js';

const storageOptions = { cvmfsMountMethod: 'external', cvmfsMountPath: '/nonexistent' };

describeDriver({
  title: 'overlay2 with thin images by fsopen',
  driver: 'overlay2',
  mountMethod: 'fsopen',
  storageOptions,
});

describeDriver({ title: 'aufs with thin images by mount(2)', driver: 'aufs', mountMethod: 'mount', storageOptions });
