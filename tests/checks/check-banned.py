"""Functions that are not used, or only in one place, and why."""
import re

import tree

# pattern, where it is allowed, why
RULES = [
    (r"(strcpy|strcat|sprintf|vsprintf|gets|strncpy|strncat)", (), "no bound, or a bound that truncates silently"),
    (r"(atoi|atol|atoll|atof|sscanf|scanf)", (), "no error; use text.h"),
    (r"(strtol|strtoul|strtoll|strtoull|strtod)", ("src/base/",), "one helper in base"),
    (r"strtok", (), "hidden state"),
    (r"(system|popen)", (), "no shell"),
    (r"alloca", (), "no bound on the stack"),
    (r"(tmpnam|mktemp|tempnam)", (), "a race"),
    (r"(getenv|secure_getenv|setenv|putenv|unsetenv)",
     ("src/base/process.c", "src/base/secret.c", "src/base/secret-source.c", "src/base/file.c", "src/cli/", "src/worker/spawn.c",
      "src/profile/config.c", "src/station/module.c", "src/tpm/main.c", "src/hsm/main.c", "src/emulator/main.c"),
     "the environment is read at the door"),
    (r"(rand|srand|random|srandom|drand48)", (), "not random"),
    (r"(printf|puts|putchar|vprintf|perror)", ("src/cli/", "src/emulator/main.c"), "nothing below cli prints"),
    (r"signal", ("src/base/process.c", "src/base/process-run.c"), "sigaction"),
    (r"setlocale", (), "letters of IDs, words and hosts are ASCII; the functions of ctype.h and strings.h say so in the C locale alone"),
    (r"uselocale", ("src/cli/output.c",), "the same"),
    (r"(longjmp|setjmp)", (), "errors are values"),
    (r"(abort|exit)", ("src/base/", "src/cli/", "src/worker/", "src/emulator/main.c"), "a library does not end the program"),
    (r"(time|gettimeofday)", ("src/base/clock.c", "src/cli/"), "time is a parameter, from clock.h"),
]

# Calls as they must not be written, and why.
CALLS = [
    (r"PEM_read_bio_[A-Z]\w*\((?:[^,;]*,){2}\s*NULL\b", "asks the terminal for a password; pem_no_password of encoding.h"),
]


def line_of(text, match):
    return text.count("\n", 0, match.start()) + 1


def problems_of(path):
    text = tree.without_comments_and_strings(tree.read(path))
    for pattern, why in CALLS:
        for match in re.finditer(pattern, text):
            yield f"{path}:{line_of(text, match)}: {match.group()}: {why}"
    for pattern, allowed, why in RULES:
        if str(path).startswith(allowed):
            continue
        for match in re.finditer(rf"(?<![\w.>]){pattern}\s*\(", text):
            yield f"{path}:{line_of(text, match)}: {match.group(1) if match.groups() else match.group()}: {why}"


tree.finish([problem for path in tree.files("src/*.c", "src/*.h") for problem in problems_of(path)])
