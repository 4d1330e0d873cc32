import { loadLibc } from '../native/libc.js';

// sys/wait.h, bits/waitflags.h
const P_ALL = 0;
const P_PID = 1;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x1000000;
/** `si_pid` in siginfo_t of 64-bit systems. */
const SI_PID = 16;

/**
 * Returns a function that collects ended processes whose parents have gone: they became children of process 1 and would
 * stay zombies. The status of `program` is left alone, for it belongs to libuv. To be made before the root is entered:
 * libc's binding is loaded from the host.
 */
export function orphanReaper(): (program: number | undefined) => void {
  const waitid = loadLibc().bind('waitid', 'int', ['int', 'int', 'void *', 'int']);
  const info = new Uint8Array(128);
  const fields = new DataView(info.buffer);
  return (program) => {
    for (;;) {
      fields.setInt32(SI_PID, 0, true);
      // Looks without collecting: the first that has ended may be the program.
      if (waitid(P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT) < 0) return;
      const pid = fields.getInt32(SI_PID, true);
      if (pid === 0 || pid === program) return;
      waitid(P_PID, pid, info, WEXITED | WNOHANG);
    }
  };
}
