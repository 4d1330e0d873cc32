/**
 * Completion scripts. Each asks `layerstore complete -- WORD... CURRENT` (complete-words.ts) at every Tab.
 *
 * No script evaluates what was typed: pressing Tab behind `$(reboot)` must not run it.
 */
export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/**
 * bash cuts words at `:` and `=` (COMP_WORDBREAKS) and replaces only the last piece, so the pieces before it are taken off every candidate.
 * The line is split at blanks here, without any expansion.
 */
const bash = `# bash completion for layerstore: put into ~/.local/share/bash-completion/completions/layerstore, or source it.
_layerstore() {
  local line=\${COMP_LINE:0:COMP_POINT} IFS=$' \\t\\n' words current program directive cut candidate
  read -ra words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  program=\${words[0]/#\\~/$HOME}
  current=\${words[\${#words[@]} - 1]}
  cut=\${current%"\${current##*[:=]}"}
  local answers
  mapfile -t answers < <("$program" complete -- "\${words[@]:1}" 2>/dev/null)
  (( \${#answers[@]} > 0 )) || return 0
  directive=\${answers[\${#answers[@]} - 1]}
  unset "answers[\${#answers[@]} - 1]"
  COMPREPLY=()
  for candidate in "\${answers[@]}"; do
    candidate=\${candidate%%$'\\t'*}
    COMPREPLY+=("\${candidate#"$cut"}")
  done
  case $directive in
    :files) mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -f -- "\${current#"$cut"}") ;;
    :directories) mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -d -- "\${current#"$cut"}") ;;
    *) return 0 ;;
  esac
  compopt -o filenames 2>/dev/null
  return 0
}
complete -F _layerstore layerstore
`;

const zsh = `#compdef layerstore
# zsh completion for layerstore: put into a directory of $fpath as _layerstore, or source it after compinit.
_layerstore() {
  local -a answers described
  local answer directive
  answers=("\${(@f)$("\${words[1]/#\\~/$HOME}" complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  directive=\${answers[-1]}
  for answer in "\${(@)answers[1,-2]}"; do
    described+=("\${\${answer%%$'\\t'*}//:/\\\\:}:\${answer#*$'\\t'}")
  done
  (( \${#described} )) && _describe -t candidates candidate described
  case $directive in
    :files) [[ $PREFIX == --*=* ]] && compset -P '*='; _files ;;
    :directories) [[ $PREFIX == --*=* ]] && compset -P '*='; _files -/ ;;
  esac
}
if [[ \${funcstack[1]} == _layerstore ]]; then
  _layerstore "$@"
else
  compdef _layerstore layerstore
fi
`;

const fish = `# fish completion for layerstore: put into ~/.config/fish/completions/layerstore.fish
function __layerstore_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l answers ($words[1] complete -- $words[2..] "$current" 2>/dev/null)
    test (count $answers) -gt 0; or return
    test (count $answers) -gt 1; and printf '%s\\n' $answers[1..-2]
    switch $answers[-1]
        case :files
            __fish_complete_path "$current"
        case :directories
            __fish_complete_directories "$current"
    end
end
complete -c layerstore -f -a '(__layerstore_complete)'
`;

const scripts: Readonly<Record<Shell, string>> = { bash, zsh, fish };

export function completionScript(shell: Shell): string {
  return scripts[shell];
}
