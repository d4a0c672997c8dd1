# Every C file is formatted.
git ls-files -co --exclude-standard -- '*.c' '*.h' | while read -r file; do
	[ ! -f "$file" ] || printf '%s\0' "$file"
done | xargs -0 -r clang-format --dry-run -Werror
