"""Completion in a shell: a script made from the parser, so that it knows every command, option and name.

bash: `eval "$(repro completion bash)"` in ~/.bashrc; zsh: `eval "$(repro completion zsh)"` in ~/.zshrc.
"""

from collections.abc import Iterable

from repro.configs.registry import EXPERIMENTS
from repro.execution.arguments import parser

SCRIPT = """_repro() {{
  local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command=${{COMP_WORDS[1]}} found
  if [ "$COMP_CWORD" = 1 ]; then
    found="{commands}"
  else
    case "$command $before" in
{values}
    *) case "$command" in
{options}
    esac ;;
    esac
  fi
  if [ "$before" = -p ]; then
    case " ${{COMP_WORDS[*]}} " in
{parameters}
    esac
    compopt -o nospace 2>/dev/null
  fi
  COMPREPLY=($(compgen -W "$found" -- "$word"))
}}
complete -o default -F _repro repro"""


def script(shell: str) -> str:
    """Return the script for `bash` or `zsh`, which reads that of bash."""
    commands = parser().commands.choices
    values, options = {}, {}
    for name, command in commands.items():
        actions = command._actions
        options[name] = [word for action in actions for word in action.option_strings]
        options[name] += [choice for action in actions if not action.option_strings for choice in action.choices or ()]
        options[name] += [*EXPERIMENTS] if name in ("run", "show") else []
        for action in (each for each in actions if each.option_strings and each.choices):
            values |= {f"{name} {word}": action.choices for word in action.option_strings}
    parameters = {f" {each.name} ": [f"{key}=" for key in each.parameters().values()] for each in EXPERIMENTS.values()}
    cases = {"values": _cases(values), "options": _cases(options), "parameters": _cases(parameters, "*")}
    text = SCRIPT.format(commands=" ".join(commands), **cases)
    return ("autoload -Uz bashcompinit && bashcompinit\n" if shell == "zsh" else "") + text


def _cases(found: dict[str, Iterable[str]], around: str = "") -> str:
    """Return the cases in which a shell sets `found`; around: what may stand before and behind a word."""
    return "\n".join(f'    {around}"{key}"{around}) found="{" ".join(words)}" ;;' for key, words in found.items())
