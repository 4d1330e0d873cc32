import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { kernelTables, type KernelTables } from '../kernel-tables.js';
import type { OverlayPlan } from '../mount-plan.js';
import { RecordingSyscalls } from '../recording-syscalls.js';
import { hasFuseOverlayfs } from './fuse-overlayfs.js';
import { Mounter } from './mounter.js';

const label = 'system_u:object_r:container_file_t:s0:c1,c2';
const kernel = (labels: boolean): KernelTables => ({ ...kernelTables, takesLabels: () => labels });

describe.skipIf(process.platform !== 'linux')(
  'an SELinux label of a mount (Linux only: it reads the mount table)',
  () => {
    let base: string;
    let target: string;
    let plan: OverlayPlan;
    beforeEach(() => {
      base = mkdtempSync('/dev/shm/labels-');
      target = join(base, 'view');
      for (const name of ['one', 'two', 'upper', 'work']) mkdirSync(join(base, name));
      plan = {
        kind: 'overlay',
        lowers: [join(base, 'one'), join(base, 'two')],
        upper: { path: join(base, 'upper'), work: join(base, 'work') },
        options: ['index=off', `context="${label}"`],
      };
    });
    afterEach(() => rmSync(base, { recursive: true }));

    it('is quoted for mount(2), which would end it at the comma, and plain for the new mount API', async () => {
      const byMount = new RecordingSyscalls();
      await new Mounter({ syscalls: byMount, kernel: kernel(true), method: 'mount' }).mount(plan, target);
      expect(byMount.argumentsOf('mount')[0]?.[4]).toMatch(new RegExp(`,index=off,context="${label}"$`));
      const byFsopen = new RecordingSyscalls();
      await new Mounter({ syscalls: byFsopen, kernel: kernel(true), method: 'fsopen' }).mount(plan, target);
      expect(byFsopen.argumentsOf('fsconfig').map(([, config]) => config)).toContainEqual({
        command: 'string',
        key: 'context',
        value: label,
      });
    });

    it('is left out where SELinux is absent, whatever the way of mounting', async () => {
      for (const method of ['fsopen', 'mount'] as const) {
        const sys = new RecordingSyscalls();
        await new Mounter({ syscalls: sys, kernel: kernel(false), method }).mount(plan, target);
        expect(JSON.stringify(sys.calls)).toContain('index');
        expect(JSON.stringify(sys.calls)).not.toContain('context');
      }
    });

    it.skipIf(process.getuid?.() !== 0 || kernelTables.takesLabels())(
      'does not keep a view from being mounted on a kernel without SELinux (needs root, and such a kernel)',
      async () => {
        const methods = ['fsopen', 'mount', ...(hasFuseOverlayfs() ? (['fuse-overlayfs'] as const) : [])] as const;
        for (const method of methods) {
          await new Mounter({ method }).withMount(plan, target, (view) => {
            writeFileSync(join(view, method), '');
            return Promise.resolve();
          });
        }
      },
    );
  },
);
