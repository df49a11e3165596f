#!/usr/bin/env bash
# Builds the C library and search.c, runs it on pictures of the tests, checks what it prints.
#
#   examples/c/check.sh [CARGO OPTIONS]
#
# Without options, the library is built optimised (--release).
set -euo pipefail
cd "$(dirname "$0")/../.."

options=("$@")
[ ${#options[@]} -gt 0 ] || options=(--release)
cargo build --package barbule-capi "${options[@]}"
profile=debug
[[ " ${options[*]} " == *" --release "* ]] && profile=release
library="${CARGO_TARGET_DIR:-target}/$profile"

work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cc -std=c99 -Wall -Wextra -Wpedantic -Werror -Icrates/capi/include examples/c/search.c \
  -L"$library" -lbarbule -Wl,-rpath,"$library" -o "$work/search"
if command -v c++ > /dev/null; then
  # The header is C++ too.
  c++ -Wall -Wextra -Werror -fsyntax-only -x c++ crates/capi/include/barbule.h
fi

mkdir "$work/photos"
cp tests/fixtures/{photo.png,baseline.jpg,progressive.jpg,lossy.webp,palette.png} "$work/photos"
cp tests/fixtures/photo.png "$work/photos/twin.png"
echo "no image" > "$work/photos/broken.jpg"

fail() {
  echo "examples/c/check.sh: $1" >&2
  cat "$work"/out "$work"/err >&2
  exit 1
}
search() { "$work/search" "$@" > "$work/out" 2> "$work/err"; }

search "$work/photos" "$work/photos/twin.png" "$work/i.db" || fail "the first run failed"
grep -q "^7 images, 6 of them new$" "$work/out" || fail "not all images were added"
grep -q "^skipped: .*broken.jpg" "$work/err" || fail "the broken image was not reported"
[ "$(grep -c "bits away" "$work/out")" = 5 ] || fail "there are not 5 hits"
[ "$(grep -c "^   0 bits away: .*(the same image)$" "$work/out")" = 2 ] || fail "the image and its twin are not first"

search "$work/photos" "$work/photos/lossy.webp" "$work/i.db" || fail "the second run failed"
grep -q "^7 images, 0 of them new$" "$work/out" || fail "images were added twice"

if search "$work/photos" "$work/photos/broken.jpg" "$work/i.db"; then fail "a broken query is no error"; fi
grep -q "^error 5: .*broken.jpg: not an image of a known format" "$work/err" || fail "the error says something else"
if search "$work/none" "$work/photos/photo.png" "$work/i.db"; then fail "a missing folder is no error"; fi
grep -q "^error 4: cannot read the folder .*none" "$work/err" || fail "the error says something else"
if search "$work/photos" "$work/photos/photo.png" "$work/none/i.db"; then fail "an index nowhere is no error"; fi
grep -q "^error 4: .*i.db" "$work/err" || fail "the error says something else"
echo "the C interface works"
