import { execFileSync } from 'node:child_process';

/** Copies programs of this machine with the libraries that they need, so that an image can run something without a network. */
export function copyHostPrograms(directory: string, programs: readonly string[]): void {
  const script = `
    set -e
    mkdir -p "$1/bin" "$1/etc" "$1/srv" "$1/dev" "$1/proc" "$1/sys" "$1/tmp"
    target=$1
    shift
    for program; do
      file=$(type -P "$program")
      cp -L "$file" "$target/bin/"
      ldd "$file" | grep -o '/[^ ]*' | while read -r library; do
        mkdir -p "$target\${library%/*}"
        cp -L "$library" "$target$library"
      done
    done`;
  execFileSync('bash', ['-c', script, 'bash', directory, ...programs], { stdio: 'pipe' });
}
