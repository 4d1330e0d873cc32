import { describeDriver } from '../conformance/index.js';
import { openPlain } from './plain-driver.js';

describeDriver({
  title: 'the example of docs/drivers.md',
  async open(home, options) {
    const driver = await openPlain(home, options);
    await driver.cleanup();
    return driver;
  },
});
