# Each public header compiles alone, as the only thing in a file, under both compilers.
set -u
status=0
flags=$(pkg-config --cflags tss2-mu libcjson libcrypto)
for header in include/muster/*.h; do
	for compiler in gcc clang; do
		# shellcheck disable=SC2086
		if ! printf '#include "muster/%s"\n' "${header##*/}" |
			"$compiler" -std=gnu17 -D_GNU_SOURCE -Wall -Wextra -Werror -Iinclude $flags -x c -fsyntax-only -; then
			echo "$header does not compile alone with $compiler"
			status=1
		fi
	done
	grep -q '^#pragma once' "$header" || { echo "$header has no #pragma once"; status=1; }
done
exit $status
