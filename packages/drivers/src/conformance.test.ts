import { describeDriver } from './conformance/index.js';
import { openDriver } from './registry.js';

describeDriver({
  title: 'overlay2 by fsopen',
  mountMethod: 'fsopen',
  open: (home, tools) => openDriver('overlay2', home, tools),
});

describeDriver({
  title: 'overlay2 by mount(2)',
  mountMethod: 'mount',
  open: (home, tools) => openDriver('overlay2', home, tools),
});

describeDriver({ title: 'vfs', open: (home, tools) => openDriver('vfs', home, tools) });
