#!/usr/bin/env bash
# build.sh DEBS OUT   adds the packages in the folder DEBS to the signed apt repository in OUT, which is made if it is
# not there. Any web server can serve OUT; nothing runs in it.
#   APT_KEY=FINGERPRINT   signs with that key of the caller's keyring. Without, a key of one's own is made once and
#                         kept in ~/.cache/webgear/apt-key: good for a network of one's own, and for tests.
# Both suites hold the same packages, because they are built to run on both. Packages of earlier builds stay in the
# pool; so do index files, by their hash, for clients that hold an older InRelease.
set -euo pipefail
[ $# = 2 ] || { echo "usage: build.sh DEBS OUT" >&2; exit 2; }
debs=$(cd "$1" && pwd)
mkdir -p "$2"
out=$(cd "$2" && pwd)
cache=${WEBGEAR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/webgear}
suites='bookworm trixie' arches='amd64 arm64 armhf'
export LC_ALL=C TZ=UTC

key=${APT_KEY:-}
if [ -z "$key" ]; then
  export GNUPGHOME=$cache/apt-key
  if [ ! -d "$GNUPGHOME" ]; then
    mkdir -p "$GNUPGHOME"
    chmod 700 "$GNUPGHOME"
    gpg --batch --quiet --passphrase '' --quick-generate-key 'webgear packages' ed25519 sign never
  fi
  key=$(gpg --batch --with-colons --list-secret-keys | awk -F: '$1 == "fpr" {print $10; exit}')
fi

pool=$out/pool/main/w/webgear
mkdir -p "$pool"
found=
for d in "$debs"/webgear_*.deb; do
  [ -e "$d" ] || continue
  found=1
  to=$pool/$(basename "$d" | tr '~' '-') # some web servers and caches mistreat a tilde
  if [ -e "$to" ] && ! cmp -s "$d" "$to"; then
    echo "build.sh: $to is there with other content: a version never changes, give this one another" >&2
    exit 1
  fi
  cp "$d" "$to"
done
[ -n "$found" ] || { echo "build.sh: there is no webgear_*.deb in $debs: run make deb" >&2; exit 1; }

# The new indexes are made beside the old ones and put in their place at the end.
new=$(mktemp -d "$out/.new.XXXXXX")
trap 'rm -rf "$new"' EXIT
chmod 755 "$new"
for suite in $suites; do
  dist=$new/dists/$suite
  for arch in $arches; do
    dir=$dist/main/binary-$arch
    mkdir -p "$dir/by-hash/SHA256"
    old=$out/dists/$suite/main/binary-$arch/by-hash/SHA256
    if [ -d "$old" ]; then find "$old" -type f -mtime -30 -exec cp -p -t "$dir/by-hash/SHA256" {} +; fi
    (cd "$out" && apt-ftparchive -o APT::FTPArchive::MD5=false -o APT::FTPArchive::SHA1=false -o APT::FTPArchive::SHA512=false \
      --arch "$arch" packages pool) >"$dir/Packages"
    gzip -9nk "$dir/Packages"
    xz -9k "$dir/Packages"
    for f in "$dir"/Packages*; do cp "$f" "$dir/by-hash/SHA256/$(sha256sum <"$f" | cut -d' ' -f1)"; done
  done
  # The indexes by hash are the same files under another name; the list is of the others.
  mkdir "$new/hidden"
  for arch in $arches; do mv "$dist/main/binary-$arch/by-hash" "$new/hidden/$arch"; done
  (cd "$dist" && apt-ftparchive -o APT::FTPArchive::MD5=false -o APT::FTPArchive::SHA1=false -o APT::FTPArchive::SHA512=false \
    -o APT::FTPArchive::Release::Origin=webgear -o APT::FTPArchive::Release::Label=webgear \
    -o APT::FTPArchive::Release::Suite="$suite" -o APT::FTPArchive::Release::Codename="$suite" \
    -o APT::FTPArchive::Release::Architectures="$arches" -o APT::FTPArchive::Release::Components=main \
    -o APT::FTPArchive::Release::Description="webgear, a network camera" -o APT::FTPArchive::Release::Acquire-By-Hash=yes \
    release .) >"$new/Release"
  mv "$new/Release" "$dist/Release"
  for arch in $arches; do mv "$new/hidden/$arch" "$dist/main/binary-$arch/by-hash"; done
  rmdir "$new/hidden"
  gpg --batch --quiet --yes --local-user "$key" --digest-algo SHA256 --clearsign --output "$dist/InRelease" "$dist/Release"
  gpg --batch --quiet --yes --local-user "$key" --digest-algo SHA256 --armor --detach-sign --output "$dist/Release.gpg" "$dist/Release"
done
gpg --batch --quiet --yes --export --output "$new/webgear-archive-keyring.gpg" "$key"
for suite in $suites; do
  printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: /usr/share/keyrings/webgear-archive-keyring.gpg\n' \
    "${APT_URL:-https://webgear-pi.github.io/apt}" "$suite" >"$new/webgear-$suite.sources"
done
mv "$new"/webgear-* "$out/"
rm -rf "$out/dists.old"
if [ -d "$out/dists" ]; then mv "$out/dists" "$out/dists.old"; fi
mv "$new/dists" "$out/dists"
rm -rf "$out/dists.old"
echo "$out is signed with $key" >&2
