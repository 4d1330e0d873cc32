import { describeDriver } from './conformance/index.js';

describeDriver({ title: 'overlay2 by fsopen', driver: 'overlay2', mountMethod: 'fsopen' });

describeDriver({ title: 'overlay2 by mount(2)', driver: 'overlay2', mountMethod: 'mount' });

describeDriver({ title: 'overlay2 by fuse-overlayfs', driver: 'overlay2', mountMethod: 'fuse-overlayfs' });

describeDriver({ title: 'vfs', driver: 'vfs' });

describeDriver({ title: 'overlay by fsopen', driver: 'overlay', mountMethod: 'fsopen' });

describeDriver({ title: 'overlay by mount(2)', driver: 'overlay', mountMethod: 'mount' });
