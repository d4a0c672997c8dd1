"""The list of differences from az in muster-enrollment(1) is closed: each has a story that carries its number, and no story
another one."""
import re

import tree

SECTION = re.compile(r'\.SH "WHERE MUSTER DIFFERS"\n(.*?)\n\.SH ', re.DOTALL)


def listed():
    text = tree.read("man/muster-enrollment.1")
    return [int(number) for number in re.findall(r"^\.IP (\d+)\.", SECTION.search(text).group(1), re.MULTILINE)]


def shown():
    return {int(number) for path in tree.files("tests/stories/*.py")
            for numbers in re.findall(r"pytest\.mark\.difference\(([\d, ]+)\)", tree.read(path))
            for number in numbers.split(",")}


def problems():
    numbers = listed()
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"muster-enrollment(1): the differences are numbered {numbers}"
    yield from (f"muster-enrollment(1): no story shows difference {number}" for number in sorted(set(numbers) - shown()))
    yield from (f"tests/stories: difference {number} is not in muster-enrollment(1)" for number in sorted(shown() - set(numbers)))


tree.finish(list(problems()))
