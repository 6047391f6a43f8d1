//! Completions for shells: what clap makes of the command line, and the paths of the swarm,
//! which the node is asked for (`p2pmusic ctl complete`) as they are typed.
//!
//! What a shell has in a word, and what a file is called, never becomes a part of a command
//! line: it is an argument, or a line that is read.

use clap::CommandFactory as _;
use clap_complete::{generate, Shell};

use super::args::Cli;

/// The script for `shell`.
pub fn script(shell: Shell) -> String {
    let mut made = Vec::new();
    generate(shell, &mut Cli::command(), "p2pmusic", &mut made);
    let made = String::from_utf8_lossy(&made);
    match shell {
        Shell::Bash => format!("{made}{BASH}"),
        // Where it has an argument that is one of the paths, clap names this function.
        Shell::Zsh => {
            let made = made.replace(":_urls'", ":_p2pmusic_paths'");
            made.replacen("\n_p2pmusic() {", &format!("{ZSH}\n_p2pmusic() {{"), 1)
        }
        Shell::Fish => format!("{made}{FISH}"),
        _ => made.into_owned(),
    }
}

/// Bash has split the word at colons, and kept its quotes: what is given back is quoted in the
/// same way.
const BASH: &str = r#"
_p2pmusic_paths() {
    local word=${COMP_WORDS[COMP_CWORD]} first=$COMP_CWORD path quote=
    [[ $word == [:=] ]] && word=
    local whole=$word
    while ((first > 1)) && [[ ${COMP_WORDS[first]} == [:=]* || ${COMP_WORDS[first - 1]} == *[:=] ]]; do
        first=$((first - 1))
        whole=${COMP_WORDS[first]}$whole
    done
    [[ ${COMP_WORDS[COMP_CWORD]} == [:=] ]] && whole+=${COMP_WORDS[COMP_CWORD]}
    [[ $whole == [\"\']* ]] && quote=${whole:0:1}
    whole=${whole#[\"\']} word=${word#[\"\']}
    whole=${whole//\\/} word=${word//\\/}
    COMPREPLY=()
    while IFS= read -r path; do
        path=${path#"${whole%"$word"}"}
        case $quote in
            \') path=${path//\'/\'\\\'\'} ;;
            \")
                path=${path//\\/\\\\} path=${path//\"/\\\"}
                path=${path//\$/\\\$} path=${path//\`/\\\`}
                ;;
            *) printf -v path %q "$path" ;;
        esac
        COMPREPLY+=("$path")
    done < <(p2pmusic ctl complete -- "$whole" 2>/dev/null)
    compopt +o default +o bashdefault 2>/dev/null
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == */ ]] && compopt -o nospace 2>/dev/null
    return 0
}

_p2pmusic_or_paths() {
    local word what=
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case $what$word in
            ctl) what=ctl: ;;
            ctl:play | ctl:add | ctl:ls | ctl:update) what=paths: ;;
        esac
    done
    if [[ $what == paths: && ${COMP_WORDS[COMP_CWORD]} != -* ]]; then
        _p2pmusic_paths
    else
        _p2pmusic "$@"
    fi
}

complete -F _p2pmusic_or_paths -o bashdefault -o default p2pmusic
"#;

const ZSH: &str = r#"
_p2pmusic_paths() {
    local -a paths
    paths=("${(@f)$(p2pmusic ctl complete -- "${(Q)PREFIX}" 2>/dev/null)}")
    paths=("${(@)paths:#}")
    compadd -S '' -- "${(@M)paths:#*/}"
    compadd -- "${(@)paths:#*/}"
}
"#;

const FISH: &str = r#"
complete -c p2pmusic -n "__fish_seen_subcommand_from ctl; and __fish_seen_subcommand_from play add ls update" -f -a "(p2pmusic ctl complete -- (commandline -ct | string unescape | string collect) 2>/dev/null)"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_completes_paths() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = script(shell);
            assert!(script.contains("p2pmusic ctl complete -- "), "{shell}");
            assert!(!script.contains("_urls"), "{shell}");
        }
        // `play`, `add`, `ls` and `update`, and the function itself.
        assert_eq!(script(Shell::Zsh).matches("_p2pmusic_paths").count(), 5);
    }
}
