"""What checks share: the files of the tree, their includes, and the way a check ends."""
import pathlib
import re
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.MULTILINE)


def files(*patterns):
    """Tracked and new files that match, as paths relative to the top."""
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", *patterns], cwd=TOP, text=True,
                            stdout=subprocess.PIPE, check=True).stdout.splitlines()
    return sorted(pathlib.Path(name) for name in set(listed) if (TOP / name).is_file())


def read(path):
    return (TOP / path).read_text(encoding="utf-8")


def without_comments_and_strings(text):
    """C with comments and the content of literals blanked; line numbers stay."""
    pattern = r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
    return re.sub(pattern, lambda match: re.sub(r"[^\n]", " ", match.group()), text, flags=re.DOTALL)


def muster(*arguments, program="muster"):
    return subprocess.run([TOP / "build" / program, *arguments], text=True, capture_output=True, timeout=30)


def has_test(file, name):
    """Whether there is a story (FILE.py) or a unit test (FILE.c) of that name."""
    folder, pattern = ("stories", rf"^def {name}\(") if file.endswith(".py") else ("unit", rf"^static void {name}\(")
    path = TOP / "tests" / folder / file
    return path.is_file() and bool(re.search(pattern, path.read_text(), re.MULTILINE))


def finish(problems):
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)
