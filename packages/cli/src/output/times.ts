const minute = 60;
const hour = 60 * minute;
const day = 24 * hour;

/** How long ago an ISO time was, in the words of docker: `About an hour ago`, `3 weeks ago`; `N/A` without a time. */
export function humanAge(time: string | undefined, now: number = Date.now()): string {
  const then = time === undefined ? NaN : Date.parse(time);
  // Reproducible builds date their images to the epoch or to year 1, which says nothing about their age.
  if (Number.isNaN(then) || then <= 0) return 'N/A';
  return `${humanDuration((now - then) / 1000)} ago`;
}

/** A number of seconds in one rounded unit. */
export function humanDuration(seconds: number): string {
  if (seconds < 1) return 'Less than a second';
  if (seconds < 2) return '1 second';
  if (seconds < minute) return `${Math.floor(seconds)} seconds`;
  if (seconds < 2 * minute) return 'About a minute';
  if (seconds < hour) return `${Math.floor(seconds / minute)} minutes`;
  if (seconds < 2 * hour) return 'About an hour';
  if (seconds < 2 * day) return `${Math.floor(seconds / hour)} hours`;
  if (seconds < 14 * day) return `${Math.floor(seconds / day)} days`;
  if (seconds < 60 * day) return `${Math.floor(seconds / (7 * day))} weeks`;
  if (seconds < 730 * day) return `${Math.floor(seconds / (30 * day))} months`;
  return `${Math.floor(seconds / (365 * day))} years`;
}
