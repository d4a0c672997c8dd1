# Shell scripts pass shellcheck; Python files compile.
set -u
status=0
scripts=$(git ls-files -co --exclude-standard -- scripts .ci tests | while read -r file; do
	head -c 60 "$file" | grep -q '^#!.*bash' && echo "$file"
done)
# shellcheck disable=SC2086
shellcheck -x $scripts || status=1
shellcheck -s bash tests/checks/*.sh || status=1
git ls-files -co --exclude-standard -- '*.py' | while read -r file; do
	/usr/bin/python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read(), sys.argv[1])' "$file" || exit 1
done || status=1
exit $status
