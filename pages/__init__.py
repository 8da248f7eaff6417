"""The pages that are made of the code's own texts, and the site of all pages. `scripts/pages` and `scripts/site` start it."""

from __future__ import annotations

from pages.api import api_page
from pages.commands import GROUPS, commands_page
from pages.files import files_page
from pages.machine import machine_page
from pages.man import command_man, machine_man, module_man
from printer.cli.completion import completion_file

FILES = {"bash": "{}", "zsh": "_{}", "fish": "{}.fish"}
"""What the file that completes a command is called, by the shell that looks for it."""


def pages() -> dict[str, str]:
    """Every generated file below docs/, by its path there."""
    made = {
        "machine.md": machine_page(),
        "commands.md": commands_page(),
        "files.md": files_page(),
        "api.md": api_page(),
    }
    for name, group in GROUPS:
        for shell, file in FILES.items():
            place = f"completion/{shell}/{file.format(name)}"
            made[place] = completion_file(group, name, shell)
    made |= {f"man/{name}.1": command_man(name, group) for name, group in GROUPS}
    return made | {"man/kdumpfs-machine.5": machine_man(), "man/kdumpfs-module.7": module_man()}
