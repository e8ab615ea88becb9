#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Holds the manual against --help: every command, option, -o key and description is in both.

usage: man_test.py HUBVFS MANUAL
"""

import re
import subprocess
import sys


def help_of(binary, *command):
    done = subprocess.run([binary, *command, "--help"], capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        sys.exit(f"{command} --help: exit status {done.returncode}")
    return done.stdout


def plain(manual):
    """The manual's words without its macros, blanks made one."""
    lines = []
    for line in manual.splitlines():
        if line.startswith('.\\"'):
            continue
        line = re.sub(r"^\.[A-Z]+ ?", "", line)
        line = line.replace("\\-", "-").replace("\\(rs", "\\").replace('"', "")
        lines.append(line)
    return " ".join(" ".join(lines).split())


def entries(text):
    """(names, description) of each indented line of a help text, continued ones joined."""
    found = []
    for line in text.splitlines():
        entry = re.match(r"^  (\S.*?)(?:\s{2,}(\S.*))?$", line)
        more = re.match(r"^ {10,}(\S.*)$", line)
        if more and found and not found[-1][1]:
            found[-1] = (found[-1][0], more.group(1))
        elif entry:
            found.append((entry.group(1), entry.group(2) or ""))
    return found


def words_of(names):
    """The option names and -o keys in the left column of a help text."""
    return re.findall(r"--[a-z-]+|(?<!\S)-[a-z]\b|^[a-z_.]+(?==|$)", names)


def all_commands(binary, above=()):
    """Every command as a tuple of words, ("cache", "stats") among them."""
    found = []
    for below in help_of(binary, *above).split("Subcommands:")[1:]:
        for name in re.findall(r"^  ([a-z]+) ", below, re.M):
            found += [(*above, name), *all_commands(binary, (*above, name))]
    return found


def main():
    binary, manual_path = sys.argv[1:]
    with open(manual_path) as file:
        source = file.read()
    manual = plain(source)
    top = help_of(binary)
    commands = all_commands(binary)
    if not {("mount",), ("umount",), ("status",), ("serve",), ("cache", "stats")} <= set(commands):
        sys.exit(f"commands not found in --help: {commands}")
    missing, seen = [], 0
    for command in commands:
        if command and not re.search(rf"^\.SS hubvfs {' '.join(command)}\b", source, re.M):
            missing.append(f"a section: hubvfs {' '.join(command)}")
    for command in [()] + commands:
        for names, description in entries(help_of(binary, *command)):
            seen += 1
            for word in words_of(names):
                if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", manual):
                    missing.append(f"{' '.join(command)} {word}")
            if " ".join(description.split()) not in manual:
                missing.append(f"{' '.join(command)} {names}: {description}")
    if seen < 25:
        sys.exit(f"only {seen} entries found in the help texts")
    # And nothing in the manual that the program does not know.
    helps = top + "".join(help_of(binary, *command) for command in commands)
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", manual)):
        if option not in helps:
            missing.append(f"{option}: in the manual only")
    for line in missing:
        print("missing:", line)
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
