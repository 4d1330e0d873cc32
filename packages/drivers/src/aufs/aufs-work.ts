import {
  changeForm,
  makeShadows,
  planAufsForm,
  planOverlayForm,
  type ArchiveWorkers,
  type FormChange,
  type LayerTree,
  type OverlayMarkFamily,
  type ParkedRecord,
  type ShadowsJob,
  type ShadowsMade,
} from '@layerstore/archive';

/** Work on the directories of aufs layers, which takes as long as they are large. */
export interface AufsWork {
  shadows(job: ShadowsJob): Promise<ShadowsMade>;
  planOverlayForm(path: string, lowers: readonly LayerTree[], marks: OverlayMarkFamily): Promise<FormChange>;
  planAufsForm(path: string, parked: ParkedRecord, marks: OverlayMarkFamily): Promise<FormChange>;
  change(change: FormChange, path: string, parking: string): Promise<void>;
}

/** In worker threads, or in the calling thread when there are none. */
export function aufsWork(workers: ArchiveWorkers | undefined): AufsWork {
  if (workers === undefined) return callingThread;
  return {
    shadows: (job) => workers.run({ kind: 'aufs-shadows', ...job }),
    planOverlayForm: (path, lowers, marks) => workers.run({ kind: 'plan-overlay-form', path, lowers, marks }),
    planAufsForm: (path, parked, marks) => workers.run({ kind: 'plan-aufs-form', path, parked, marks }),
    async change(change, path, parking) {
      await workers.run({ kind: 'change-form', change, path, parking });
    },
  };
}

const callingThread: AufsWork = {
  shadows: (job) => atOnce(() => makeShadows(job)),
  planOverlayForm: (path, lowers, marks) => atOnce(() => planOverlayForm(path, lowers, marks)),
  planAufsForm: (path, parked, marks) => atOnce(() => planAufsForm(path, parked, marks)),
  change: (change, path, parking) => atOnce(() => changeForm(change, path, parking)),
};

function atOnce<Result>(work: () => Result): Promise<Result> {
  return new Promise((resolve) => {
    resolve(work());
  });
}
