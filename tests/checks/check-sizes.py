"""A file of more than 700 lines holds a second idea."""
import tree

LIMIT = 700
paths = tree.files("*.c", "*.h", "*.def", "*.py", "*.sh", "scripts/*", "meson.build", "*/meson.build")
tree.finish([f"{path}: {lines} lines" for path in paths if (lines := tree.read(path).count("\n")) > LIMIT])
