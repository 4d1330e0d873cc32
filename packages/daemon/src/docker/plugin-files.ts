/** The files by which dockerd finds the plugin and the machine's service manager starts it in time. */
import { basename, isAbsolute } from 'node:path';
import { StoreError } from '@layerstore/core';

/** A file of the system, and what shall be in it. */
export interface SystemFile {
  readonly path: string;
  readonly content: string;
}

export interface DockerPluginFilesOptions {
  /** Absolute path of the plugin's socket. */
  readonly socket: string;
  /** Name of the plugin, as in `dockerd --storage-driver NAME`. Default: that of the socket without `.sock`. */
  readonly name?: string;
  /** The words of the command that serves the plugin. */
  readonly command: readonly string[];
}

/** dockerd takes its own driver of such a name, and asks no plugin (daemon/graphdriver/driver.go). */
const builtIn: readonly string[] = [
  'aufs',
  'btrfs',
  'devicemapper',
  'fuse-overlayfs',
  'lcow',
  'overlay',
  'overlay2',
  'vfs',
  'windowsfilter',
  'zfs',
];

/**
 * The systemd units, socket and service, and both kinds of discovery files, of which one is enough; a socket in
 * /run/docker/plugins needs none.
 * @throws StoreError ERR_INVALID_ARGUMENT for a name that dockerd would not look up
 */
export function dockerPluginFiles(options: DockerPluginFilesOptions): SystemFile[] {
  const { socket } = options;
  if (!isAbsolute(socket) || /[\s"'\\]/.test(socket)) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'not a path that discovery files and units can name', {
      subject: JSON.stringify(socket),
      hint: 'give an absolute path without blanks and quotes',
    });
  }
  const name = options.name ?? basename(socket, '.sock');
  requireName(name);
  return [
    { path: `/etc/systemd/system/layerstore-${name}.socket`, content: socketUnit(name, socket) },
    { path: `/etc/systemd/system/layerstore-${name}.service`, content: serviceUnit(name, options.command) },
    { path: `/etc/docker/plugins/${name}.spec`, content: `unix://${socket}\n` },
    {
      path: `/etc/docker/plugins/${name}.json`,
      content: `${JSON.stringify({ Name: name, Addr: `unix://${socket}` }, undefined, 2)}\n`,
    },
  ];
}

function requireName(name: string): void {
  if (builtIn.includes(name)) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'dockerd has a driver of this name and would not ask the plugin', {
      subject: name,
      hint: 'give another with --name, for example layerstore',
    });
  }
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(name)) {
    throw new StoreError('ERR_INVALID_ARGUMENT', 'not a name for a plugin', {
      subject: JSON.stringify(name),
      hint: 'a name is made of letters, digits, `_`, `.` and `-`; give one with --name',
    });
  }
}

function socketUnit(name: string, socket: string): string {
  return `[Unit]
Description=layerstore graph driver for Docker, socket of ${name}
Before=docker.service

[Socket]
ListenStream=${escaped(socket)}
SocketMode=0600
DirectoryMode=0755
RemoveOnStop=yes

[Install]
WantedBy=sockets.target
RequiredBy=docker.service
`;
}

function serviceUnit(name: string, command: readonly string[]): string {
  return `[Unit]
Description=layerstore graph driver for Docker, ${name}
Requires=layerstore-${name}.socket
After=layerstore-${name}.socket local-fs.target
Before=docker.service

# Whatever gives the service a mount namespace of its own (PrivateTmp=, ProtectSystem=, ReadOnlyPaths=, PrivateMounts= and the
# like) would hide the views from dockerd: none of it may be added.
[Service]
Type=exec
ExecStart=${command.map(word).join(' ')}
Restart=always
RestartSec=100ms
# Views are mounts, and some are made by programs that must outlive a restart.
KillMode=process
TimeoutStopSec=90s
SuccessExitStatus=143
RuntimeDirectory=layerstore
RuntimeDirectoryPreserve=yes
LimitNOFILE=1048576
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
`;
}

/** A word of a command line in a unit (systemd.service(5), "Command lines"). */
function word(text: string): string {
  const plain = escaped(text).replace(/\$/g, '$$$$');
  return /^[A-Za-z0-9_@%+=:,./$-]+$/.test(plain) ? plain : `"${plain.replace(/["\\]/g, '\\$&')}"`;
}

/** systemd.unit(5), "Specifiers". */
function escaped(text: string): string {
  return text.replaceAll('%', '%%');
}
