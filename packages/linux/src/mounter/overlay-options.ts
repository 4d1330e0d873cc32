/**
 * The text form of overlay options: what mount(2) takes and what the mount table shows.
 *
 * Source: Documentation/filesystems/overlayfs.rst, fs/overlayfs/params.c.
 */
import type { MountTableEntry } from '../mount-table.js';
import type { OverlayPlan } from '../mount-plan.js';

/** mount(2) hands one page to the file system and ends it with NUL; no supported architecture has smaller pages. */
export const MAX_OPTION_BYTES = 4095;

/** Options of an overlay over `lowers`, spelled as given, which may be relative to the working directory. */
export function overlayOptionText(lowers: readonly string[], plan: OverlayPlan): string {
  const parts = [`lowerdir=${lowers.map(escapeLower).join(':')}`];
  if (plan.upper !== undefined) {
    parts.push(`upperdir=${escapePath(plan.upper.path)}`, `workdir=${escapePath(plan.upper.work)}`);
  }
  return [...parts, ...plan.options].join(',');
}

/** A plan's option as fsconfig(2) takes it. Quotes around an SELinux context belong to the text form only. */
export function splitOption(option: string): { readonly key: string; readonly value: string | undefined } {
  const equals = option.indexOf('=');
  if (equals < 0) return { key: option, value: undefined };
  return { key: option.slice(0, equals), value: option.slice(equals + 1).replace(/^"(.*)"$/, '$1') };
}

/**
 * The directories of a mounted overlay, uppermost first, as they were spelled when it was mounted: escaped in the text
 * form, plain where each layer was given by a `lowerdir+` of its own.
 */
export function overlayDirectories(entry: MountTableEntry): { lowers: string[]; upper: string | undefined } {
  const options = entry.superOptions.map(splitOption);
  const values = (key: string): string[] =>
    options.flatMap((option) => (option.key === key ? [option.value ?? ''] : []));
  const [text] = values('lowerdir');
  const [upper] = values('upperdir');
  if (text === undefined) return { lowers: values('lowerdir+'), upper };
  return { lowers: splitLowers(text), upper: upper === undefined ? undefined : unescape(upper) };
}

function escapePath(path: string): string {
  return path.replace(/[\\,]/g, '\\$&');
}

function escapeLower(path: string): string {
  return path.replace(/[\\,:]/g, '\\$&');
}

function unescape(text: string): string {
  return text.replace(/\\(.)/g, '$1');
}

function splitLowers(text: string): string[] {
  return (text.match(/(?:\\.|[^:\\])+/g) ?? []).map(unescape);
}
