import {
  appendFileSync,
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { StoreError } from '@layerstore/core';
import type { LayerStore } from '@layerstore/store';

/**
 * What runs inside the container: ordinary programs of the image that add, edit, replace, rename, link and delete. Needs only /bin/sh and
 * the usual small tools (GNU or busybox); perl, dpkg, setcap and setfattr are used where the image has them.
 */
export const containerProgram = String.raw`
set -eu
have() { command -v "$1" >/dev/null 2>&1; }
work=/srv/demo
mkdir -p $work/tree/deep/deeper
cd $work

echo 'a new file' > added
dd if=/dev/urandom of=random bs=65536 count=64 2>/dev/null
touch "$(printf 'not-utf8-\351\377')" 'with blanks and "quotes"' "$(printf 'new\nline')"
ln added hard-link
ln -s ../../etc/passwd symlink
ln -s /nowhere dangling
mkfifo fifo
mknod null c 1 3
mkdir -m 2775 setgid-directory
cp /bin/sh setuid && chmod 4755 setuid
chown 3000000:3000001 tree/deep
touch -d '2001-02-03 04:05:06.789012345' tree/deep/old 2>/dev/null || touch tree/deep/old
echo "links, devices, a fifo, odd names, owners above 2 million: added"

# Files of the image: one of each is edited, replaced, deleted, renamed, gets other rights and a further link.
action=0
for file in /etc/*; do
  case $file in */passwd|*/group|*/shadow|*/ld.so*|*/hosts|*/resolv.conf|*/nsswitch.conf) continue ;; esac
  [ -f "$file" ] && [ ! -L "$file" ] || continue
  action=$((action + 1))
  case $action in
    1) echo '# edited' >> "$file" ;;
    2) echo 'replaced' > /etc/.new && mv /etc/.new "$file" ;;
    3) rm "$file" ;;
    4) mv "$file" "$file.renamed" ;;
    5) chmod 600 "$file" ;;
    6) ln "$file" "$file.link" ;;
    7) rm "$file" && ln -s /dev/null "$file" ;;
    8) rm "$file" && mkdir "$file" && echo inside > "$file/file" ;;
  esac
done
echo "$action files of /etc: edited, replaced, deleted, renamed, linked"

if [ -d /usr/share/doc ]; then
  rm -rf /usr/share/doc && mkdir /usr/share/doc && echo 'nothing else here' > /usr/share/doc/README
  echo "/usr/share/doc: deleted and made anew"
fi
if [ -d /usr/share/man ]; then mv /usr/share/man /usr/share/manual && echo "/usr/share/man: renamed"; fi
if [ -d /var/spool ]; then rm -rf /var/spool && echo 'a file now' > /var/spool && echo "/var/spool: a file in place of the directory"; fi

if have perl; then
  perl -e 'open my $f, ">", "sparse" or die; seek $f, 64 << 20, 0; print $f "end"; for my $i (1 .. 500) { open my $g, ">", "tree/$i" or die; print $g "line $i\n" x $i }'
  echo "perl: 500 files and a sparse one"
fi
if have setfattr; then setfattr -n user.demo -v 0x00ff0a00 added && echo "setfattr: a binary extended attribute"; fi
if have setcap; then cp /bin/ls capable && setcap cap_net_raw+ep capable && echo "setcap: a file capability"; fi
if have dpkg; then
  for package in tzdata logsave util-linux-extra; do
    dpkg-query -W "$package" >/dev/null 2>&1 || continue
    DEBIAN_FRONTEND=noninteractive dpkg --purge --force-depends "$package" >purge.log 2>&1 || { cat purge.log >&2; exit 1; }
    rm purge.log
    echo "dpkg: package $package purged"
    break
  done
fi
`;

export interface ContainerWork {
  readonly how: 'program' | 'mounted path';
  readonly lines: readonly string[];
}

/** Changes a container by a program of its image; where the image has no shell, through its mounted view. */
export async function workInContainer(
  store: LayerStore,
  container: string,
  signal: AbortSignal,
): Promise<ContainerWork> {
  const { exitCode, stdout, stderr } = await store.containers.run(container, ['/bin/sh', '-c', containerProgram], {
    stdio: 'pipe',
    signal,
  });
  if (exitCode === 0) return { how: 'program', lines: (stdout ?? '').trimEnd().split('\n') };
  if (exitCode !== 126 && exitCode !== 127) {
    throw new StoreError('ERR_IO', `ended with ${exitCode}: ${(stderr ?? '').trim().slice(-500)}`, {
      subject: 'the program in the container',
    });
  }
  await using view = await store.containers.mount(container, { lifetime: 'process' });
  return { how: 'mounted path', lines: changeThroughPath(view.path) };
}

/**
 * The same kinds of changes from outside. The image may be hostile: no symlink of it is followed, so that none leads out
 * of the view.
 */
function changeThroughPath(root: string): string[] {
  const files = regularFiles(root, 4);
  const [edited, replaced, deleted, renamed] = files;
  if (edited !== undefined) appendFileSync(edited, '# edited\n');
  if (replaced !== undefined) {
    unlinkSync(replaced);
    writeFileSync(replaced, 'replaced\n', { flag: 'wx' });
  }
  if (deleted !== undefined) unlinkSync(deleted);
  if (renamed !== undefined) renameSync(renamed, `${renamed}.renamed`);
  const work = mkdtempSync(join(root, 'demo-'));
  mkdirSync(join(work, 'tree', 'deep'), { recursive: true });
  writeFileSync(join(work, 'added'), 'a new file\n');
  linkSync(join(work, 'added'), join(work, 'hard-link'));
  symlinkSync('../etc/passwd', join(work, 'symlink'));
  chmodSync(join(work, 'added'), 0o4755);
  return [`the image has no shell: ${files.length} of its files were changed through the mounted path, others added`];
}

/** The first `count` regular files below real directories. */
function regularFiles(directory: string, count: number): string[] {
  const found: string[] = [];
  const waiting = [directory];
  for (let next = waiting.shift(); next !== undefined && found.length < count; next = waiting.shift()) {
    for (const name of readdirSync(next)) {
      const path = join(next, name);
      const status = lstatSync(path);
      if (status.isDirectory()) waiting.push(path);
      else if (status.isFile() && found.length < count) found.push(path);
    }
  }
  return found;
}
