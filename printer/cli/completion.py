"""Shell completion: the file for bash, zsh or fish, and how its questions are read. Imported when it is asked for.

The file calls the command with `_NAME_COMPLETE` set, as click's own does. It differs in that names and files may
be offered for one word, in `--option=value` (whose parts each shell hands over in another way), and in that a
word that ends with / is gone on with.
"""

from __future__ import annotations

import click
from click.shell_completion import (
    BashComplete,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
)

_BASH = """\
# Completion of %(prog_name)s for bash: source it, or keep it as bash-completion/completions/%(prog_name)s
%(complete_func)s() {
    local line
    COMPREPLY=()
    while IFS= read -r line; do
        case $line in
        dir,*) compopt -o dirnames ;;
        file,*) compopt -o default ;;
        plain,*) COMPREPLY+=("${line#plain,}") ;;
        esac
    done < <(IFS=$'\\n'; COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD %(complete_var)s=bash_complete "$1" 2> /dev/null)
    [[ ${COMPREPLY[*]} != */ ]] || compopt -o nospace
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s
# Completion of %(prog_name)s for zsh: keep it as _%(prog_name)s in a folder of fpath, or source it after compinit
%(complete_func)s() {
    local -a plain described parts answer
    local type key descr
    (( $+commands[%(prog_name)s] )) || return 1
    answer=("${(@f)$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) %(complete_var)s=zsh_complete %(prog_name)s 2> /dev/null)}")
    local option=""
    [[ $PREFIX != --*=* ]] || { option=${PREFIX%%%%=*}=; compset -P "*=" }
    for type key descr in ${answer}; do
        case $type in
        dir) _path_files -/ ;;
        file) _path_files -f ;;
        plain)
            if [[ $key == */ ]]; then
                parts+=("$key")
            elif [[ $descr == _ ]]; then
                plain+=("$key")
            else
                described+=("$key:$descr")
            fi ;;
        esac
    done
    [[ -z $described ]] || _describe -V unsorted described -U
    [[ -z $plain ]] || compadd -U -p "$option" -V unsorted -a plain
    [[ -z $parts ]] || compadd -U -S '' -V unsorted -a parts
}
compdef %(complete_func)s %(prog_name)s
[[ $zsh_eval_context[-1] != loadautofunc ]] || %(complete_func)s "$@"  # from fpath, at the first TAB
"""

_FISH = """\
# Completion of %(prog_name)s for fish: keep it as completions/%(prog_name)s.fish, or source it
function %(complete_func)s
    set -l option (string match -r '^--[^=]*=' -- (commandline -t))
    for line in (env %(complete_var)s=fish_complete COMP_WORDS=(commandline -cp) COMP_CWORD=(commandline -t) %(prog_name)s 2> /dev/null)
        set -l part (string split -m 1 , -- $line)
        switch $part[1]
            case dir
                for path in (__fish_complete_directories $part[2]); echo "$option"$path; end
            case file
                for path in (__fish_complete_path $part[2]); echo "$option"$path; end
            case plain
                echo "$option"$part[2]
        end
    end
end
complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


class _Bash(BashComplete):
    """bash makes three words of `--option=value`."""

    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before, and the one that is begun."""
        args, begun = super().get_completion_args()
        joined: list[str] = []
        for word in [*args, begun]:
            after = bool(joined) and joined[-1].startswith("--") and joined[-1].endswith("=")
            if joined and (after or (word == "=" and joined[-1].startswith("--"))):
                joined[-1] += word
            else:
                joined.append(word)
        return joined[:-1], joined[-1]

    @staticmethod
    def _check_version() -> None:
        """Any bash of the systems that this runs on is new enough."""


class _Zsh(ZshComplete):
    source_template = _ZSH


class _Fish(FishComplete):
    source_template = _FISH


SHELLS: dict[str, type[ShellComplete]] = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}


def register() -> None:
    """Let click use these."""
    for name, shell in SHELLS.items():
        add_completion_class(shell, name)


def completion_file(group: click.Command, name: str, shell: str) -> str:
    """What `NAME completion SHELL` prints."""
    asked = SHELLS[shell](group, {}, name, f"_{name.upper()}_COMPLETE")
    return asked.source_template % asked.source_vars()
