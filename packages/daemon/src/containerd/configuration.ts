/** Texts for the programs around the server: containerd's configuration and systemd's units. */

export interface ConfigurationOptions {
  /** Absolute path of the socket. */
  readonly socket: string;
  /** Absolute path. */
  readonly root: string;
  /** Names by which containerd knows the snapshotter: `--snapshotter NAME`. */
  readonly snapshotters: readonly string[];
}

/** The part of containerd's config.toml (version 2) that makes it use the server, for CRI as well. */
export function containerdConfiguration({ socket, root, snapshotters }: ConfigurationOptions): string {
  const plugins = snapshotters.map(
    (name) => `[proxy_plugins.${tomlKey(name)}]
  type = "snapshot"
  address = ${tomlText(socket)}
  # From containerd 1.7 on:
  # capabilities = ["remap-ids"]
  # exports = { root = ${tomlText(root)} }
`,
  );
  return `version = 2

${plugins.join('\n')}
# Kubernetes: images and containers of CRI. Layers that the store has are not fetched if annotations are passed on.
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = ${tomlText(snapshotters[0] ?? '')}
  disable_snapshot_annotations = false
`;
}

/** @param command the words of the server's command line */
export function systemdService(command: readonly string[]): string {
  return `[Unit]
Description=layerstore snapshotter for containerd
Before=containerd.service
After=local-fs.target

[Service]
Type=simple
ExecStart=${command.map(systemdWord).join(' ')}
Restart=always
RestartSec=1
# Mounts are containerd's: ending the server disturbs no container.
KillMode=process
LimitNOFILE=1048576
OOMScoreAdjust=-999

[Install]
WantedBy=multi-user.target
`;
}

/** For socket activation: containerd can start first, its first call starts the server. */
export function systemdSocket(socket: string): string {
  return `[Unit]
Description=layerstore snapshotter for containerd
Before=containerd.service

[Socket]
ListenStream=${socket}
SocketMode=0600

[Install]
WantedBy=sockets.target
`;
}

function tomlText(text: string): string {
  return JSON.stringify(text);
}

function tomlKey(name: string): string {
  return /^[A-Za-z0-9_-]+$/.test(name) ? name : tomlText(name);
}

/** systemd expands `%` and `$`, and splits at blanks (systemd.service(5), "Command lines"). */
function systemdWord(word: string): string {
  const plain = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /[\s"'\\]/.test(plain) ? `"${plain.replace(/["\\]/g, '\\$&')}"` : plain;
}
